/*
 * berth-shim: executes a launch plan, then supervises what came of it.
 *
 * Two roles run this program. The shim itself (main.c, supervise.c, stream.c, log.c, dns.c and more) stays in the host's
 * namespaces and never allocates: everything lives in fixed arrays whose untouched pages cost nothing. The child (plan.c,
 * mounts.c, identity.c) executes the plan's operations one after the other and becomes the container's PID 1, or a process
 * beside it.
 *
 * Error convention: a function that can fail gives 0 or more, or a negative errno. An operation may describe what it was
 * about with failing().
 */
#ifndef BERTH_SHIM_H
#define BERTH_SHIM_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "../bind.h"
#include "../wire.h"

#define LISTENER_FD 3
#define KEEPER_FD 4
/* The netlink socket that owns the firewall's table, so that it has an owner while no daemon runs; or /dev/null. */
#define OWNER_FD 5
#define MAX_PROCESSES 257 /* the container and 256 execs */
#define MAX_CONNECTIONS 512
#define FRAME_MAX (256u << 10)
#define DETAIL_SIZE 384

/* Closes a descriptor at the end of its scope. */
static inline void close_scoped(int *fd) {
  if (*fd >= 0) close(*fd);
}
#define scoped_fd __attribute__((cleanup(close_scoped)))

/* --- plan.c: the child --- */

/* What the plan says to the shim itself. */
struct shim_plan {
  struct op_shim shim;
  struct op_log log; /* without a path: no log */
  const char *exit_path, *oom_path, *cgroup_path;
  int pid_namespace, user_namespace;
  struct wire_list upstreams;
  struct op_root_server server; /* without arguments: none */
  bool is_exec;
  uint64_t namespaces;
};
int read_shim_plan(struct shim_plan *out, const uint8_t *plan, size_t length);

enum report_kind { REPORT_FAILED = 1, REPORT_PREPARED, REPORT_PID, REPORT_PTY, REPORT_DNS_UDP, REPORT_DNS_TCP, REPORT_ROOT_SERVER };
/* What a child tells the shim over its status socket; some come with a descriptor. */
struct report {
  uint32_t kind, op, index, error;
  int32_t pid;
  char detail[DETAIL_SIZE];
};
int send_report(const struct report *report, int fd);

/* Everything that operations share in one child. */
struct child {
  int status;   /* the socket to the shim */
  int root;     /* the container's root directory, O_PATH */
  int null_fd;  /* the host's null device, checked */
  int proc;     /* a private procfs */
  int empty;    /* a read-only tmpfs for masking, whose first place is taken */
  bool is_exec; /* beside PID 1: does not wait for a start */
  char detail[DETAIL_SIZE];
};
extern struct child child;
int failing(int error, const char *what, const char *subject);
/* In a go-between: executes what is to be done with the host's rights; has reported a failure when it gives a negative errno. */
int run_outside(const uint8_t *plan, size_t length, int status);
_Noreturn void run_plan(const uint8_t *plan, size_t length, int status, bool is_exec);

/* --- mounts.c and identity.c: the operations --- */
typedef int (*operation)(const uint8_t *body, size_t length);
int do_join_ns(const uint8_t *, size_t), do_join_cgroup(const uint8_t *, size_t), do_unshare(const uint8_t *, size_t),
    do_hostname(const uint8_t *, size_t), do_domainname(const uint8_t *, size_t), do_link_up(const uint8_t *, size_t),
    do_dns_socket(const uint8_t *, size_t), do_propagation(const uint8_t *, size_t), do_root_mount(const uint8_t *, size_t),
    do_root_bind(const uint8_t *, size_t), do_root_fuse(const uint8_t *, size_t), do_mount(const uint8_t *, size_t), do_bind(const uint8_t *, size_t),
    do_mkdir(const uint8_t *, size_t), do_mknod(const uint8_t *, size_t), do_symlink(const uint8_t *, size_t),
    do_mask(const uint8_t *, size_t), do_file_label(const uint8_t *, size_t), do_readonly(const uint8_t *, size_t), do_root_attrs(const uint8_t *, size_t),
    do_sysctl(const uint8_t *, size_t), do_pty(const uint8_t *, size_t), do_pivot_root(const uint8_t *, size_t),
    do_oom_score_adj(const uint8_t *, size_t), do_rlimit(const uint8_t *, size_t), do_umask(const uint8_t *, size_t),
    do_bounding(const uint8_t *, size_t), do_user(const uint8_t *, size_t), do_workdir(const uint8_t *, size_t),
    do_capabilities(const uint8_t *, size_t), do_no_new_privs(const uint8_t *, size_t), do_seccomp(const uint8_t *, size_t),
    do_init(const uint8_t *, size_t), do_exec(const uint8_t *, size_t), do_enter(const uint8_t *, size_t),
    do_host_directory(const uint8_t *, size_t), do_attach(const uint8_t *, size_t), do_attach_root(const uint8_t *, size_t),
    do_stdio_owner(const uint8_t *, size_t), do_label(const uint8_t *, size_t);
/* Opens (making what is missing) a directory or file inside the root; never follows a link out of it. */
int open_in_root(const char *path, bool directory, mode_t mode);
int private_proc(void);

/* --- launch.c --- */
struct process;
struct stdio_pair { int ours[3], theirs[3]; };
int make_pipes(struct stdio_pair *pipes, bool tty, bool with_stdin);
/* With a user namespace the child is made by a go-between, which reports its number. */
int launch_container(const struct shim_plan *plan, const uint8_t *ops, size_t length, struct process *container,
                     struct stdio_pair *pipes);
int launch_exec(const struct shim_plan *plan, const uint8_t *ops, size_t length, const struct process *container, pid_t *helper,
                int *status, struct stdio_pair *pipes);

/* --- server.c --- */
/* Opens what the kernel and the server will speak over: before the child is made, which may open no devices. */
void server_open(void);
/* In the child: the descriptor, or a negative errno. */
int server_channel(void);
/* Starts the program, once the child has mounted. */
int server_start(const struct op_root_server *op);
/* A child has ended; true when it was the server. */
bool server_reap(void);
/* After the container's end: 0 when the server has ended, too, or does not; else milliseconds to wait. */
int server_wait(uint64_t now, uint64_t since);

/* --- log.c --- */
struct connection;
int log_open(const struct op_log *log);
/* Adds output of stream 0 (stdout) or 1 (stderr). */
void log_output(int stream, const uint8_t *data, size_t length);
/* Hands on what has been collected. */
void log_flush(void);
/* The last: also lines that never got their newline. 0 when all is written or given up, else milliseconds to wait. */
int log_close(uint64_t now);
/* Records that this run has lost. */
void log_lost(uint64_t *dropped, uint64_t *failed);
/* Tells the daemon of lost records, if there are new ones; milliseconds until there is something to tell, or -1. */
int log_on_time(uint64_t now, bool last);
/* A compressed file takes the place of the one with this inode. */
int log_swap(uint64_t inode, const char *path);
/* The writer of a ring has told something, or a child has ended that may be it. */
void log_notified(void);
void log_reap(void);
/* A control connection begins: what it has to know of the log. */
void log_greet(struct connection *connection);
void log_files_changed(void);
/* A record of the engine's own, of which the log's readers learn what is missing. */
const uint8_t *log_note(const char *text, size_t *length);

/* --- logfile.c --- */
enum lost_reason { LOST_DISK_FULL, LOST_RING_FULL, LOST_REASONS };
int logfile_open(const struct op_log *log);
void logfile_close(void);
/* Goes on with this number for the open file; it is closed when there is none. */
void logfile_move(int fd);
/* Writes whole records, or none of them and gives false. */
bool logfile_write(const uint8_t *data, size_t length, uint32_t records);
/* Records that come no more are missing before those that are written next. */
void logfile_missing(enum lost_reason reason, uint64_t records);
void logfile_swap(uint64_t inode, const char *from);

/* --- ring.c --- */
/* Makes the ring and its writer, which writes as soon as it has `batch` bytes; `buffer` is the writer's. */
int ring_open(uint64_t size, size_t record_max, size_t batch, uint8_t *buffer);
/* Adds a record; gives how many of the oldest went for it. */
uint64_t ring_put(const uint8_t *record, size_t length);
void ring_publish(void);
/* Ends the writer once all is written: 0 when it has ended or does not go on, else milliseconds to wait. */
int ring_close(uint64_t now);
/* What is left is lost; gives how many records that are. */
uint64_t ring_abandon(void);
/* Records that the disk did not take. */
uint64_t ring_failed(void);
int ring_swap(uint64_t inode, const char *path);
/* The writer tells the shim of something. */
void ring_notify(void);
void ring_files_changed(void);
/* The shim hears of it; true when the log's files have changed. */
bool ring_notified(void);
/* A child has ended: if it was the writer, makes another and gives how many records went with this one. */
uint64_t ring_reap(void);

/* --- supervise.c --- */
enum phase { PHASE_FREE, PHASE_PREPARING, PHASE_PREPARED, PHASE_STARTING, PHASE_RUNNING, PHASE_EXITED };

/* The container (number 0) or an exec. */
struct process {
  enum phase phase;
  uint32_t id;
  pid_t pid;
  pid_t helper; /* an exec's go-between, which ends once the process is born */
  int pidfd, status;
  int in, out[2];
  bool tty, once, wants_start, started, failed, stdin_ends, prepared;
  int wait_status;
  size_t pending_in_at, pending_in_length;
};
extern struct process processes[MAX_PROCESSES];

enum role { ROLE_FREE, ROLE_NEW, ROLE_CONTROL, ROLE_STREAM };
struct connection {
  enum role role;
  int fd;
  uint32_t events;
  struct process *process;
  uint32_t streams;
  bool input_ended, closing;
  uint32_t generation; /* of the slot: an event of an earlier connection is not for this one */
  uint64_t moved_at;   /* when the client has last taken something of what waited for it */
  size_t received, queued_at, queued;
};
extern struct connection connections[MAX_CONNECTIONS];

enum source { SOURCE_LISTENER, SOURCE_SIGNALS, SOURCE_LOG, SOURCE_STATUS, SOURCE_OUT, SOURCE_ERR, SOURCE_IN, SOURCE_CONNECTION,
              SOURCE_DNS_UDP, SOURCE_DNS_TCP, SOURCE_DNS_CLIENT, SOURCE_DNS_UPSTREAM, SOURCE_RELAY, SOURCE_FLOW, SOURCE_DATAGRAMS };
int watch(int fd, uint32_t events, enum source source, uint32_t index);
int rewatch(int fd, uint32_t events, enum source source, uint32_t index);
void unwatch(int fd);
_Noreturn void supervise(const struct shim_plan *plan, const uint8_t *ops, size_t length, const char *rundir);
uint64_t now_ms(void);
int start_exec(struct connection *from, const struct shim_exec *request);
void process_failed(struct process *process, const struct report *report);

/* --- connection.c --- */
void accept_connection(void);
/* `tag`: what the connection was watched with. */
void connection_ready(uint32_t tag, uint32_t events);
void watch_connection(struct connection *connection);
void drop_connection(struct connection *connection);
/* Sends bytes, keeping what the socket does not take; a control client that does not read is dropped. */
void send_bytes(struct connection *connection, const void *data, size_t length);
/* Builds and sends a frame of integers. */
void send_frame(struct connection *connection, uint16_t code, unsigned count, const uint64_t *values, const char *widths);
void tell_controls(uint16_t code, unsigned count, const uint64_t *values, const char *widths);
void tell_failed(struct connection *connection, const struct process *process, const struct report *report);
struct connection *latest_control(void);
size_t room_for_output(const struct connection *connection);

/* --- stream.c --- */
void output_ready(struct process *process, int stream);
void update_output_interest(struct process *process);
void input_from(struct connection *connection);
void input_ready(struct process *process);
void end_input(struct process *process);
void resume_inputs(struct process *process);
bool output_drained(const struct process *process);
void abandon_output(struct process *process);

/* --- ports.c --- */
/* First of all, as long as the number of the keeper's descriptor is nobody else's. */
void ports_begin(void);
/* Gives the port, or a negative errno. */
int claim_port(const struct shim_claim_port *request);
/* Gives 0 or an errno. */
int retain_ports(const struct shim_retain_ports *request);
/* Clients of these claims, and of no others, are handed on from now on. Gives 0 or an errno. */
int relay_ports(const struct shim_relay_ports *request);
/* Lets go of every claim, and of the clients that are handed on. */
void release_ports(void);

/* --- relay.c --- */
#define MAX_RELAYS 4096
/* A claimed port, and where its clients are handed on to. */
struct relay {
  int fd, protocol;
  union any_address target;
  socklen_t target_size;
};
/* Whether the descriptor is of a client that is handed on, or of the container's side of it. */
bool relay_has(int fd);
/* Nobody who comes is handed on; connections go on. */
void relay_none(void);
int relay_add(int fd, int protocol, const union any_address *target, socklen_t size);
/* This descriptor is about to be closed. */
void relay_forget(int fd);
/* Ends every connection, too. */
void relay_end(void);
void relay_ready(uint32_t index);
void relay_flow_ready(uint32_t tag, uint32_t events);

/* --- datagrams.c --- */
void datagrams_prepare(const struct relay *relay);
void datagrams_from_clients(const struct relay *relay);
void datagrams_ready(uint32_t tag);
bool datagrams_have(int fd);
void datagrams_end(void);

/* --- dns.c --- */
/* Whether the descriptor is one of the resolver's. */
bool dns_has(int fd);
void dns_adopt(int fd, bool tcp);
void dns_upstreams(struct wire_list upstreams);
void dns_udp_ready(void);
void dns_tcp_ready(void);
void dns_client_ready(uint32_t index);
/* `index`: of its family. */
void dns_upstream_ready(uint32_t index);
/* The message stays where it is until dns_flush. */
void dns_answered(uint32_t id, struct wire_bytes message);
/* Sends what has been answered. */
void dns_flush(void);
/* There may be room for questions again. */
void dns_resume(void);
/* The daemon that had questions has gone. */
void dns_daemon_gone(void);

/* --- names.c --- */
/* An answer, with the length of its question section, for whoever asks the same while there is no daemon. */
void names_keep(uint32_t section, struct wire_bytes message);
void names_forget(void);
/* The kept answer to a question, or NULL. It stays until the next is asked for. */
const uint8_t *names_answer(const uint8_t *question, size_t size, size_t *length);
#endif
