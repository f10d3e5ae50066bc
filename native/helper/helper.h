/*
 * berth-helper: the privileged system calls that a JavaScript runtime cannot make, one request at a time.
 *
 * Every request has a handler. A handler returns 0 and fills the answer, or returns a negative errno and may say in
 * `detail` what it was about. It decides nothing: what is asked has been decided and checked in TypeScript.
 */
#ifndef BERTH_HELPER_H
#define BERTH_HELPER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include "../wire.h"

/* The answer to one request. `data` points into `buffer`, whose size is ANSWER_SIZE, or is NULL. */
struct answer {
  uint32_t id;
  uint64_t value;
  uint8_t *buffer;
  size_t length;
  /* Whoever asked hears later. */
  bool waits;
  char detail[512];
};
#define ANSWER_SIZE (8u << 20)

typedef int (*handler)(struct answer *out, const uint8_t *body, size_t length);

/* Remembers what a failure was about, and gives the errno back: return fail(out, errno, "bind %s", path). */
int fail(struct answer *out, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Closes a descriptor when its scope ends: scoped_fd int fd = open(…). */
static inline void close_scoped(int *fd) {
  if (*fd >= 0) close(*fd);
}
#define scoped_fd __attribute__((cleanup(close_scoped)))

int handle_userns_new(struct answer *out, const uint8_t *body, size_t length);
int handle_probe_owners(struct answer *out, const uint8_t *body, size_t length);
/* A network namespace that a user namespace owns: the answer's value. */
int owned_netns(struct answer *out, int owner);
int handle_netns_new(struct answer *out, const uint8_t *body, size_t length);
int handle_netns_open(struct answer *out, const uint8_t *body, size_t length);
int handle_close(struct answer *out, const uint8_t *body, size_t length);
int handle_netlink(struct answer *out, const uint8_t *body, size_t length);
int handle_netlink_watch(struct answer *out, const uint8_t *body, size_t length);
/* What a waiting netlink_watch looks at; -1: nobody waits. */
int watched_fd(void);
/* Takes what has come there; true when it is an answer, and nobody waits any more. */
bool take_watched(struct answer *out);
int handle_netlink_adopt(struct answer *out, const uint8_t *body, size_t length);
/* The socket that owns the firewall's table, which shims keep beyond this process; -1: there is none yet. */
int kept_netlink(void);
/* Where shims have it. */
#define OWNER_FD 5
int handle_socket(struct answer *out, const uint8_t *body, size_t length);
int handle_unix_datagram(struct answer *out, const uint8_t *body, size_t length);
int handle_sysctl(struct answer *out, const uint8_t *body, size_t length);

/* --- keeper.c --- */
/* The commands of rootless mode: the exit status, or -1 for another command. */
int run_keeper(int argc, char **argv);
/* Enters the network namespace that a keeper keeps: networks are made there, ports are published outside. */
int serve_inside(const char *keeper);
/* A non-blocking socket in the namespace of the moment, or a negative errno; the second is bound, by SOCKET_* options. */
int new_socket(uint32_t family, uint32_t type, uint32_t protocol);
int bound_socket(uint32_t family, uint32_t type, uint32_t protocol, const char *address, uint32_t port, uint32_t options);
/* The descriptors of what is kept, at the numbers that those who open /proc/PID/fd/N know. */
#define FIRST_KEPT 10
int keep_namespaces(pid_t pid);
int listen_at(const char *path);
/* The connection to the keeper, which ends with it; -1: there is none. */
int keeper_fd(void);
/* A connection of a shim's own to the keeper; -1 where there is none, else a negative errno. */
int keeper_connection(void);

/* --- guard.c --- */
/* The command of a daemon that runs as another user: the exit status, or -1 for another command. */
int run_guard(int argc, char **argv);

/* --- listen.c --- */
/* The same for `listen`. */
int run_listen(int argc, char **argv);

/* --- users.c --- */
/* Writes a process's maps; 0 or a negative errno. */
int write_maps(pid_t pid, const char *uid_map, const char *gid_map);
/* A user namespace with these maps that nobody is in: its descriptor, or a negative errno. */
int mapped_namespace(const char *uid_map, const char *gid_map);
int handle_owners_new(struct answer *out, const uint8_t *body, size_t length);

int handle_spawn(struct answer *out, const uint8_t *body, size_t length);
/* Handles are descriptors: as many as the hard limit allows. */
void raise_file_limit(void);
/* Copies the shim's program into sealed memory, so that nothing can change it afterwards; -1 with errno set. */
int keep_shim(const char *path);

int handle_mknod(struct answer *out, const uint8_t *body, size_t length);
int handle_set_xattr(struct answer *out, const uint8_t *body, size_t length);
int handle_get_xattrs(struct answer *out, const uint8_t *body, size_t length);
int handle_read_in_root(struct answer *out, const uint8_t *body, size_t length);
int handle_device_filter(struct answer *out, const uint8_t *body, size_t length);
int handle_probe_mount(struct answer *out, const uint8_t *body, size_t length);
int handle_detached_mount(struct answer *out, const uint8_t *body, size_t length);

int handle_subvolume(struct answer *out, const uint8_t *body, size_t length);
int handle_subvolume_delete(struct answer *out, const uint8_t *body, size_t length);
int handle_subvolume_limit(struct answer *out, const uint8_t *body, size_t length);

/* The commands that are one mount each: the exit status, or -1 for another command. */
int run_once(int argc, char **argv);
/* A program that is confined: the exit status, or -1 for another command. */
int run_confined(int argc, char **argv);

int handle_seccomp(struct answer *out, const uint8_t *body, size_t length);
#endif
