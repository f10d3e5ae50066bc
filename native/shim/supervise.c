/*
 * The shim's life: one epoll loop from the child's first report to the container's last byte of output and its exit
 * record.
 */
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "kernel.h"

/* With no control connection before the start for so long, nobody will come. */
#define START_PATIENCE_MS 10000
/* Foreign processes that hold the pipes delay the end by so much at most; clients that have stopped reading, this process's. */
#define DRAIN_MS 100
#define FLUSH_MS 30000

struct process processes[MAX_PROCESSES];
static int epoll_fd, signal_fd;
static const struct shim_plan *plan;
static const char *run_directory;
static bool controlled;
/* Why the container could not be started, while there is nobody to tell: kind is REPORT_FAILED. */
static struct report untold;
static uint64_t began, exited_at;
static struct timespec finished;

uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct epoll_event event_of(uint32_t events, enum source source, uint32_t index) {
  return (struct epoll_event){.events = events, .data.u64 = (uint64_t)source << 32 | index};
}

int watch(int fd, uint32_t events, enum source source, uint32_t index) {
  struct epoll_event event = event_of(events, source, index);
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int rewatch(int fd, uint32_t events, enum source source, uint32_t index) {
  struct epoll_event event = event_of(events, source, index);
  return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

void unwatch(int fd) { epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL); }

static uint32_t index_of(const struct process *process) { return (uint32_t)(process - processes); }

/* Before anybody is told of the end: who hears of it may start the next shim in the same directory at once. */
static void remove_socket(void) {
  char path[4200];
  snprintf(path, sizeof path, "%s/shim.sock", run_directory);
  unlink(path);
}

/* Ends without a record: the container never ran. */
_Noreturn static void give_up(void) {
  struct process *container = &processes[0];
  if (container->helper > 0) kill(container->helper, SIGKILL);
  if (container->pid > 0 && container->phase < PHASE_EXITED) {
    sys_pidfd_send_signal(container->pidfd, SIGKILL);
    waitpid(container->pid, NULL, 0);
  }
  remove_socket();
  _exit(0);
}

static void watch_streams(struct process *process) {
  int in = process->in, out = process->out[0], err = process->out[1];
  if (in >= 0 && in != out) watch(in, 0, SOURCE_IN, index_of(process));
  if (out >= 0) watch(out, EPOLLIN, SOURCE_OUT, index_of(process));
  if (err >= 0) watch(err, EPOLLIN, SOURCE_ERR, index_of(process));
}

/* An exec's output may be there before it is known that it has started. It waits: `started` is its client's first frame. */
static void adopt_output(struct process *process, int in, int out, int err) {
  process->in = in;
  process->out[0] = out;
  process->out[1] = err;
  if (process == &processes[0] || process->started) watch_streams(process);
}

static struct connection *stream_of(const struct process *process) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    if (connections[i].role == ROLE_STREAM && connections[i].process == process) return &connections[i];
  }
  return NULL;
}

/* Tells who asked for the start of this process. */
static void tell_started(struct process *process) {
  uint64_t values[] = {process->id, (uint64_t)process->pid};
  tell_controls(SHIM_STARTED, 2, values, "44");
  struct connection *stream = process == &processes[0] ? NULL : stream_of(process);
  if (stream != NULL) send_frame(stream, SHIM_STARTED, 2, values, "44");
}

void process_failed(struct process *process, const struct report *report) {
  process->failed = true;
  if (process != &processes[0]) {
    struct connection *stream = stream_of(process);
    if (stream != NULL) {
      tell_failed(stream, process, report);
      stream->closing = true;
      if (stream->queued == 0) drop_connection(stream);
    }
    return;
  }
  if (latest_control() == NULL) {
    untold = *report;
    untold.kind = REPORT_FAILED;
  }
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    if (connections[i].role == ROLE_CONTROL) tell_failed(&connections[i], process, report);
  }
}

/* The daemon has connected after the container has failed. */
static void tell_late(void) {
  struct report report = untold;
  untold.kind = 0;
  process_failed(&processes[0], &report);
  exited_at = now_ms();
}

void update_start(void) {
  struct process *container = &processes[0];
  if (!container->wants_start || container->phase != PHASE_PREPARED) return;
  container->phase = PHASE_STARTING;
  if (send(container->status, "", 1, MSG_NOSIGNAL) != 1) give_up();
}

/* The child may be faster than the go-between that says which process it is. */
static void on_prepared(struct process *process) {
  if (process != &processes[0] || !process->prepared || process->pid == 0) return;
  process->phase = PHASE_PREPARED;
  tell_controls(SHIM_PREPARED, 1, (uint64_t[]){(uint64_t)process->pid}, "4");
  update_start();
}

static void on_report(struct process *process, const struct report *report, int fd) {
  switch (report->kind) {
    case REPORT_FAILED: process_failed(process, report); break;
    case REPORT_PREPARED:
      process->prepared = true;
      on_prepared(process);
      break;
    case REPORT_PID:
      process->pid = report->pid;
      process->pidfd = fd;
      on_prepared(process);
      return;
    case REPORT_PTY:
      if (fd < 0) break;
      fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
      adopt_output(process, fd, fd, -1);
      return;
    case REPORT_DNS_UDP:
    case REPORT_DNS_TCP:
      if (fd < 0) break;
      dns_adopt(fd, report->kind == REPORT_DNS_TCP);
      return;
    case REPORT_ROOT_SERVER:
      if (process == &processes[0]) server_start(&plan->server);
      break;
    default: break;
  }
  if (fd >= 0) close(fd);
}

/* A child's status socket: reports, and at last its end, which is the exec. */
static void status_ready(struct process *process) {
  if (process->status < 0) return;
  for (;;) {
    struct report report = {0};
    union {
      char bytes[CMSG_SPACE(sizeof(int))];
      struct cmsghdr align;
    } control;
    struct iovec data = {&report, sizeof report};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(process->status, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n == (ssize_t)sizeof report) {
      int fd = -1;
      struct cmsghdr *head = CMSG_FIRSTHDR(&message);
      if (head != NULL && head->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(head), sizeof fd);
      report.detail[sizeof report.detail - 1] = '\0';
      on_report(process, &report, fd);
      continue;
    }
    break;
  }
  unwatch(process->status);
  close(process->status);
  process->status = -1;
  if (process->failed || process->started) return;
  /* The process may have ended already: its go-between holds the socket, too, and can be slower. */
  process->started = true;
  if (process->phase < PHASE_RUNNING) process->phase = PHASE_RUNNING;
  tell_started(process);
  if (process != &processes[0]) watch_streams(process);
}

static struct process *free_process(void) {
  for (int i = 1; i < MAX_PROCESSES; i++) {
    if (processes[i].phase == PHASE_FREE) return &processes[i];
  }
  return NULL;
}

int start_exec(struct connection *from, const struct shim_exec *request) {
  struct shim_plan exec_plan;
  struct process *process = free_process();
  if (process == NULL) return -EAGAIN;
  if (processes[0].phase != PHASE_RUNNING) return -ESRCH;
  int result = read_shim_plan(&exec_plan, request->plan.data, request->plan.length);
  if (result < 0) return result;
  struct stdio_pair pipes;
  bool tty = exec_plan.shim.options & WIRE_SHIM_TTY, with_stdin = exec_plan.shim.options & WIRE_SHIM_STDIN;
  *process = (struct process){.phase = PHASE_PREPARING, .id = request->id, .pidfd = -1, .status = -1, .in = -1,
                              .out = {-1, -1}, .tty = tty, .once = true};
  result = make_pipes(&pipes, tty, with_stdin);
  if (result == 0) {
    result = launch_exec(&exec_plan, request->plan.data, request->plan.length, &processes[0], &process->helper, &process->status, &pipes);
  }
  if (result < 0) {
    process->phase = PHASE_FREE;
    return result;
  }
  from->role = ROLE_STREAM;
  from->process = process;
  from->streams = request->streams;
  watch(process->status, EPOLLIN, SOURCE_STATUS, index_of(process));
  if (!tty) adopt_output(process, pipes.ours[0], pipes.ours[1], pipes.ours[2]);
  return 0;
}

static uint64_t oom_kills(void) {
  char text[1024];
  scoped_fd int fd = plan->oom_path ? open(plan->oom_path, O_RDONLY | O_CLOEXEC) : -1;
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = '\0';
  const char *found = strstr(text, "oom_kill ");
  return found ? strtoull(found + 9, NULL, 10) : 0;
}

static void split_status(int status, uint64_t *code, uint64_t *signal) {
  *code = WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 128 + (uint64_t)WTERMSIG(status);
  *signal = WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0;
}

static void write_exit_record(uint64_t code, uint64_t signal, uint64_t kills, uint64_t finished_ns) {
  char path[4200], text[160];
  if (plan->exit_path == NULL) return;
  snprintf(path, sizeof path, "%s.new", plan->exit_path);
  uint64_t dropped, failed;
  log_lost(&dropped, &failed);
  int size = snprintf(text, sizeof text, "%llu %llu %llu %llu %llu %llu\n", (unsigned long long)code, (unsigned long long)signal,
                      (unsigned long long)kills, (unsigned long long)finished_ns, (unsigned long long)dropped,
                      (unsigned long long)failed);
  scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0 && write(fd, text, (size_t)size) == size) rename(path, plan->exit_path);
}

/* The container is gone and its output is drained: records, tells, and ends once the clients have what is theirs. */
static void finish(void) {
  uint64_t code, signal, kills = oom_kills();
  split_status(processes[0].wait_status, &code, &signal);
  uint64_t finished_ns = (uint64_t)finished.tv_sec * 1000000000u + (uint64_t)finished.tv_nsec;
  log_on_time(now_ms(), true);
  write_exit_record(code, signal, kills, finished_ns);
  remove_socket();
  /* Whoever hears of the end may want the same ports at once, while clients that do not read keep this process here. */
  release_ports();
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role == ROLE_CONTROL) {
      send_frame(connection, SHIM_EXITED, 4, (uint64_t[]){code, signal, kills, finished_ns}, "4488");
    }
    if (connection->role == ROLE_FREE) continue;
    connection->closing = true;
    if (connection->queued == 0) drop_connection(connection);
  }
}

static void exec_gone(struct process *process) {
  uint64_t code, signal;
  abandon_output(process);
  split_status(process->wait_status, &code, &signal);
  if (!process->failed) tell_controls(SHIM_EXEC_EXITED, 3, (uint64_t[]){process->id, code, signal}, "444");
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role != ROLE_STREAM || connection->process != process) continue;
    connection->closing = true;
    connection->process = &processes[0];
    if (connection->queued == 0) drop_connection(connection);
  }
  if (process->in >= 0) close(process->in);
  if (process->pidfd >= 0) close(process->pidfd);
  if (process->status >= 0) close(process->status);
  process->phase = PHASE_FREE;
}

/*
 * Children are waited for by their number only. Of a process that has ended before its go-between has told its number,
 * the zombie stays until then; the end of the go-between, which comes later, leads here again.
 */
static void reap_process(struct process *process) {
  if (process->helper > 0 && waitpid(process->helper, NULL, WNOHANG) == process->helper) {
    process->helper = 0;
    status_ready(process);
    /* It ended without making the process, having said why. */
    if (process->pid == 0) process->phase = PHASE_EXITED;
  }
  if (process->pid <= 0 || process->phase == PHASE_EXITED) return;
  /* __WALL: a process made with CLONE_PARENT is no less a child. */
  if (waitpid(process->pid, &process->wait_status, WNOHANG | __WALL) != process->pid) return;
  status_ready(process);
  process->phase = PHASE_EXITED;
  if (process != &processes[0]) return;
  exited_at = now_ms();
  clock_gettime(CLOCK_REALTIME, &finished);
}

static void reap(void) {
  struct signalfd_siginfo info;
  while (read(signal_fd, &info, sizeof info) > 0) {
  }
  log_reap();
  /* Without its root a container is of no use. */
  if (server_reap() && processes[0].phase != PHASE_EXITED && processes[0].pidfd >= 0) {
    sys_pidfd_send_signal(processes[0].pidfd, SIGKILL);
  }
  for (int i = 0; i < MAX_PROCESSES; i++) {
    if (processes[i].phase != PHASE_FREE) reap_process(&processes[i]);
  }
}

static void dispatch(const struct epoll_event *event) {
  uint32_t index = (uint32_t)event->data.u64;
  switch ((enum source)(event->data.u64 >> 32)) {
    case SOURCE_LISTENER: accept_connection(); break;
    case SOURCE_SIGNALS: reap(); break;
    case SOURCE_LOG: log_notified(); break;
    case SOURCE_STATUS: status_ready(&processes[index]); break;
    case SOURCE_OUT:
      if (event->events & EPOLLOUT) input_ready(&processes[index]);
      if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) output_ready(&processes[index], 0);
      break;
    case SOURCE_ERR: output_ready(&processes[index], 1); break;
    case SOURCE_IN:
      if (event->events & EPOLLERR) {
        struct process *process = &processes[index];
        process->pending_in_length = 0;
        end_input(process);
        resume_inputs(process);
      } else {
        input_ready(&processes[index]);
      }
      break;
    case SOURCE_CONNECTION: connection_ready(index, event->events); break;
    case SOURCE_DNS_UDP: dns_udp_ready(); break;
    case SOURCE_DNS_TCP: dns_tcp_ready(); break;
    case SOURCE_DNS_CLIENT: dns_client_ready(index); break;
    case SOURCE_DNS_UPSTREAM: dns_upstream_ready(index); break;
    case SOURCE_RELAY: relay_ready(index); break;
    case SOURCE_FLOW: relay_flow_ready(index, event->events); break;
    case SOURCE_DATAGRAMS: datagrams_ready(index); break;
  }
}

/* Whether a client still takes what is its own, however slowly. */
static bool still_read(uint64_t now, uint64_t since) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    uint64_t moved = connections[i].moved_at > since ? connections[i].moved_at : since;
    if (connections[i].role != ROLE_FREE && now - moved < FLUSH_MS) return true;
  }
  return false;
}

/* What time alone brings about. Gives how long to wait for events, in milliseconds, or -1. */
static int on_time(void) {
  static uint64_t done_at;
  uint64_t now = now_ms();
  struct process *container = &processes[0];
  for (int i = 1; i < MAX_PROCESSES; i++) {
    struct process *process = &processes[i];
    if (process->phase == PHASE_EXITED && process->helper == 0) exec_gone(process);
  }
  if (container->phase < PHASE_RUNNING) {
    if (latest_control() != NULL) controlled = true;
    else if (controlled) give_up();
    if (container->phase == PHASE_EXITED || now - began >= START_PATIENCE_MS) give_up();
    return controlled ? -1 : (int)(START_PATIENCE_MS - (now - began));
  }
  if (container->phase != PHASE_EXITED) return log_on_time(now, false);
  if (untold.kind == REPORT_FAILED) {
    if (now - began >= START_PATIENCE_MS) give_up();
    return (int)(START_PATIENCE_MS - (now - began));
  }
  if (container->failed) {
    /* The failure has been told; leave when it has been heard. */
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
      if (connections[i].role == ROLE_FREE) continue;
      connections[i].closing = true;
      if (connections[i].queued == 0) drop_connection(&connections[i]);
    }
    if (!still_read(now, exited_at)) give_up();
    return 50;
  }
  if (done_at == 0) {
    if (!output_drained(container)) {
      if (now - exited_at < DRAIN_MS) return (int)(DRAIN_MS - (now - exited_at));
      abandon_output(container);
    }
    int wait = log_close(now);
    if (wait > 0) return wait;
    wait = server_wait(now, exited_at);
    if (wait > 0) return wait;
    finish();
    done_at = now;
  }
  if (!still_read(now, done_at)) _exit(0);
  return 50;
}

_Noreturn void supervise(const struct shim_plan *shim_plan, const uint8_t *ops, size_t length, const char *rundir) {
  plan = shim_plan;
  run_directory = rundir;
  began = now_ms();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigset_t child_signals;
  sigemptyset(&child_signals);
  sigaddset(&child_signals, SIGCHLD);
  signal_fd = signalfd(-1, &child_signals, SFD_CLOEXEC | SFD_NONBLOCK);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  fcntl(LISTENER_FD, F_SETFL, O_NONBLOCK);
  watch(LISTENER_FD, EPOLLIN, SOURCE_LISTENER, 0);
  watch(signal_fd, EPOLLIN, SOURCE_SIGNALS, 0);

  struct process *container = &processes[0];
  struct stdio_pair pipes;
  uint32_t options = plan->shim.options;
  *container = (struct process){.phase = PHASE_PREPARING, .pidfd = -1, .status = -1, .in = -1, .out = {-1, -1},
                                .tty = options & WIRE_SHIM_TTY, .once = options & WIRE_SHIM_STDIN_ONCE};
  dns_upstreams(plan->upstreams);
  if (plan->server.args.count > 0) server_open();
  int result = plan->log.path ? log_open(&plan->log) : 0;
  struct report problem = {.kind = REPORT_FAILED, .op = result < 0 ? OP_LOG : OP_SHIM};
  if (result == 0) result = make_pipes(&pipes, container->tty, options & WIRE_SHIM_STDIN);
  if (result == 0) {
    result = launch_container(plan, ops, length, container, &pipes);
  }
  if (result == 0) {
    watch(container->status, EPOLLIN, SOURCE_STATUS, 0);
    if (!container->tty) adopt_output(container, pipes.ours[0], pipes.ours[1], pipes.ours[2]);
  } else {
    problem.error = (uint32_t)-result;
    container->phase = PHASE_EXITED;
    process_failed(container, &problem);
  }
  for (;;) {
    struct epoll_event events[32];
    if (untold.kind == REPORT_FAILED && latest_control() != NULL) tell_late();
    int n = epoll_wait(epoll_fd, events, 32, on_time());
    for (int i = 0; i < n; i++) dispatch(&events[i]);
  }
}
