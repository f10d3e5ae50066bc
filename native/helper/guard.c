/*
 * berth-helper guard SOCKET: the one process that keeps the host's rights when the daemon runs as an ordinary user. It makes
 * the namespaces that the daemon, its helper and its shims live in, and keeps them (keeper.c); and it does for them what
 * they have no right to, which are four things: to bind a port's socket, to make a user namespace for owners, to have a
 * mount's owners seen through such a one, and to give a mount of a directory that may be bound.
 *
 * What is allowed it is told on its standard input, by root, before anybody can ask; it compares, and decides nothing. What
 * it refuses it notes in a file that is root's. It ends with the last connection, and with it what it has made.
 */
#include "../bind.h"
#include "../keeper.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "helper.h"

#define POLICY_MAX (1u << 20)
#define MAX_CLIENTS 4096
#define MAX_OWNERS 8192
#define RANGE 65536u
/* The largest errno that the kernel has. */
#define ERRNO_MAX 4095
/* Whoever has had the guard made comes within so long, in milliseconds. */
#define FIRST_CLIENT_MS 60000
/* So many refusals are noted in a second; of the others only their number. */
#define NOTES_PER_SECOND 50
/* The log, the only file that is written here, grows no longer. */
#define LOG_BYTES (64u << 20)

static struct guard_policy policy;
static int log_fd = -1;

struct client {
  pid_t pid;
  uid_t uid;
};

/* --- What is noted --- */

static void note(const char *text) {
  char line[1600], when[32];
  time_t now = time(NULL);
  struct tm parts;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
  int size = snprintf(line, sizeof line, "time=%s level=warning %s\n", when, text);
  if (size >= (int)sizeof line) size = (int)sizeof line - 1;
  if (size > 0 && write(log_fd, line, (size_t)size) < 0) return;
}

/* Notes a refusal and gives its errno. What a client says appears without what could end a line or a word in quotes. */
static int __attribute__((format(printf, 3, 4))) refuse(const struct client *client, int error, const char *format, ...) {
  static time_t second;
  static unsigned noted, unnoted;
  char what[1024], text[1280];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  for (char *at = what; *at != '\0'; at++) {
    if ((unsigned char)*at < ' ' || *at == '"' || *at == '\\' || *at == 127) *at = '?';
  }
  time_t now = time(NULL);
  if (now != second) {
    if (unnoted > 0) {
      snprintf(text, sizeof text, "msg=\"refused\" more=%u", unnoted);
      note(text);
    }
    second = now;
    noted = unnoted = 0;
  }
  if (noted++ >= NOTES_PER_SECOND) {
    unnoted++;
    return -error;
  }
  snprintf(text, sizeof text, "msg=\"refused\" pid=%d uid=%u what=\"%s\"", (int)client->pid, (unsigned)client->uid, what);
  note(text);
  return -error;
}

/* --- Ports --- */

static bool has_prefix(const uint8_t *address, const uint8_t *network, uint32_t bits) {
  if (memcmp(address, network, bits / 8) != 0) return false;
  uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
  return bits % 8 == 0 || ((address[bits / 8] ^ network[bits / 8]) & mask) == 0;
}

static bool is_own_address(const union any_address *address) {
  struct wire_list networks = policy.addresses, prefixes = policy.prefixes;
  uint32_t family = address->any.sa_family;
  for (uint32_t i = 0; i < policy.addresses.count; i++) {
    union any_address network;
    const char *text = wire_next_str(&networks);
    uint32_t bits = wire_next_u32(&prefixes);
    if (parse_address(&network, family, text, 0) == 0 || bits > (family == AF_INET ? 32 : 128)) continue;
    bool same = family == AF_INET
                    ? has_prefix((const uint8_t *)&address->v4.sin_addr, (const uint8_t *)&network.v4.sin_addr, bits)
                    : has_prefix((const uint8_t *)&address->v6.sin6_addr, (const uint8_t *)&network.v6.sin6_addr, bits);
    if (same) return true;
  }
  return false;
}

static bool is_own_port(uint32_t port) {
  struct wire_list ports = policy.ports;
  for (uint32_t i = 0; i + 1 < policy.ports.count; i += 2) {
    uint32_t first = wire_next_u32(&ports), last = wire_next_u32(&ports);
    if (port >= first && port <= last) return true;
  }
  return false;
}

static bool is_published(const struct keeper_request *request) {
  uint32_t type = request->type, protocol = request->protocol;
  return (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP)) ||
         (type == SOCK_DGRAM && protocol == IPPROTO_UDP);
}

/* Gives the socket, or a negative errno. */
static int published_socket(const struct client *client, const struct keeper_request *request) {
  union any_address address;
  socklen_t size = 0;
  if (request->family == AF_INET || request->family == AF_INET6) {
    size = parse_address(&address, request->family, request->address, request->port);
  }
  if (size == 0 || !is_published(request)) return refuse(client, EINVAL, "a socket of family %u, type %u, protocol %u", request->family, request->type, request->protocol);
  if (!is_own_address(&address)) return refuse(client, EPERM, "a port of the address %s", request->address);
  if (request->port != 0 && !is_own_port(request->port)) return refuse(client, EPERM, "the port %u", request->port);
  /* Datagrams of others could be had by a port that is bound a second time. */
  uint32_t reuse = request->type == SOCK_STREAM ? WIRE_SOCKET_REUSEADDR : 0;
  uint32_t options = request->options & (WIRE_SOCKET_LISTEN | reuse | WIRE_SOCKET_V6ONLY);
  int fd = bound_socket(request->family, request->type, request->protocol, request->address, request->port, options);
  if (fd < 0 || request->port != 0) return fd;
  if (getsockname(fd, &address.any, &size) == 0 && is_own_port(port_of(&address))) return fd;
  close(fd);
  return refuse(client, EPERM, "any port (which would be %u)", port_of(&address));
}

/* --- Owners --- */

/* A user namespace that only says whose files are whose. `host`: of the host's own ids, for what may be bound. */
static struct owners {
  uint32_t uid, gid;
  bool host;
  int fd;
  struct stat info;
} owners[MAX_OWNERS];
static unsigned owners_count;

static bool is_of_pool(struct wire_list pool, uint32_t first) {
  for (uint32_t i = 0, all = pool.count; i + 1 < all; i += 2) {
    uint64_t start = wire_next_u32(&pool), count = wire_next_u32(&pool);
    if (first >= start && (first - start) % RANGE == 0 && (uint64_t)first + RANGE <= start + count) return true;
  }
  return false;
}

/*
 * The maps: what the disk has, and what a container is to see. What the daemon's user itself makes there would have no
 * number; it gets one that no file has.
 */
static void owners_map(char *text, size_t size, bool host, uint32_t user, uint32_t own, uint32_t first) {
  if (host) snprintf(text, size, "0 %u %u\n4294967294 %u 1\n", first, RANGE, user);
  else snprintf(text, size, "%u %u 1\n%u %u %u\n4294967294 %u 1\n", user, first, own, first + 1, RANGE - 1, user);
}

static const struct owners *owners_of(uint32_t uid, uint32_t gid, bool host) {
  for (unsigned i = 0; i < owners_count; i++) {
    if (owners[i].uid == uid && owners[i].gid == gid && owners[i].host == host) return &owners[i];
  }
  if (owners_count == MAX_OWNERS) {
    errno = ENOSPC;
    return NULL;
  }
  char uids[128], gids[128];
  owners_map(uids, sizeof uids, host, policy.uid, policy.own_uids, uid);
  owners_map(gids, sizeof gids, host, policy.gid, policy.own_gids, gid);
  struct owners *one = &owners[owners_count];
  int fd = mapped_namespace(uids, gids);
  if (fd < 0 || fstat(fd, &one->info) < 0) {
    int error = fd < 0 ? -fd : errno;
    if (fd >= 0) close(fd);
    errno = error;
    return NULL;
  }
  one->uid = uid;
  one->gid = gid;
  one->host = host;
  one->fd = fd;
  owners_count++;
  return one;
}

/* One that was made here, by a descriptor that comes from outside: a number of its own, as long as it is kept. */
static const struct owners *known_owners(int fd) {
  struct stat info;
  if (fstat(fd, &info) < 0) return NULL;
  for (unsigned i = 0; i < owners_count; i++) {
    if (!owners[i].host && owners[i].info.st_ino == info.st_ino && owners[i].info.st_dev == info.st_dev) return &owners[i];
  }
  return NULL;
}

static int new_owners(const struct client *client, const struct keeper_request *request) {
  if (!is_of_pool(policy.pool_uids, request->uid) || !is_of_pool(policy.pool_gids, request->gid)) {
    return refuse(client, EPERM, "owners from the ids %u and %u on", request->uid, request->gid);
  }
  const struct owners *one = owners_of(request->uid, request->gid, false);
  return one == NULL ? -errno : one->fd;
}

static int set_owners(int mnt, int owners_fd, unsigned recursive, uint64_t attributes) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | attributes, .userns_fd = (uint64_t)owners_fd};
  return syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) < 0 ? -errno : 0;
}

/*
 * Any mount of whatever file system: files of others than the daemon's own ids are nobody's through these maps, and those of
 * its own ids the daemon reaches anyway. The kernel takes only mounts that no namespace has.
 */
static int map_mount(const struct client *client, const struct keeper_request *request, const int *fds, unsigned count) {
  const struct owners *one = count == 2 ? known_owners(fds[1]) : NULL;
  if (one == NULL) return refuse(client, EPERM, "a mount with owners through another user namespace");
  return set_owners(fds[0], one->fd, request->recursive ? AT_RECURSIVE : 0, 0);
}

/* --- What may be bound --- */

static int open_tree_at(int fd, unsigned flags) {
  return (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

static int open_beneath(int fd, const char *path, uint64_t resolve) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, fd, path, &how, sizeof how);
}

/* Opens a path that lies in one of the sources, following no link; `read_only` as that has it. A negative errno: none has it. */
static int open_source(const char *path, bool *read_only) {
  struct wire_list sources = policy.sources, modes = policy.read_only;
  for (uint32_t i = 0; i < policy.sources.count; i++) {
    const char *source = wire_next_str(&sources);
    *read_only = wire_next_u32(&modes) != 0;
    size_t length = strlen(source);
    if (strncmp(path, source, length) != 0 || (path[length] != '/' && path[length] != '\0')) continue;
    scoped_fd int top = open_beneath(AT_FDCWD, source, 0);
    if (top < 0) return -errno;
    const char *rest = path + length;
    while (*rest == '/') rest++;
    int fd = *rest == '\0' ? fcntl(top, F_DUPFD_CLOEXEC, 0) : open_beneath(top, rest, RESOLVE_BENEATH);
    return fd < 0 ? -errno : fd;
  }
  return -EPERM;
}

/* A file of the guard's own, which a file is mounted over for a moment. */
static const char *own_file;

/* In a child that shares the descriptors: gives the copy, or a negative errno. */
static int copy_locked(int mnt, unsigned recursive) {
  struct stat info;
  if (fstat(mnt, &info) < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return -errno;
  const char *place = S_ISDIR(info.st_mode) ? "/proc" : own_file;
  if (syscall(SYS_move_mount, mnt, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0) return -errno;
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return -errno;
  int fd = (int)syscall(SYS_open_tree, AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
  return fd < 0 ? -errno : fd;
}

/*
 * A copy of a detached mount whose attributes only the host's root may take away. The kernel locks them when a mount comes
 * into a mount namespace of other rights: a child makes one, and copies the mount from there.
 */
static int locked_copy(int mnt, unsigned recursive) {
  int said[2], result = -EIO;
  if (pipe2(said, O_CLOEXEC) < 0) return -errno;
  pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) {
    result = copy_locked(mnt, recursive);
    _exit(write(said[1], &result, sizeof result) != (ssize_t)sizeof result);
  }
  if (pid < 0) result = -errno;
  else if (read(said[0], &result, sizeof result) != (ssize_t)sizeof result || result < -ERRNO_MAX) result = -EIO;
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  close(said[0]);
  close(said[1]);
  return result;
}

/* Gives a mount of the path with the host's owners seen as the container's, or a negative errno. */
static int bound_source(const struct client *client, const struct keeper_request *request, const int *fds, unsigned count) {
  const struct owners *one = count == 1 ? known_owners(fds[0]) : NULL;
  bool read_only = false;
  if (one == NULL) return refuse(client, EPERM, "a bind of %s through another user namespace", request->path);
  scoped_fd int source = open_source(request->path, &read_only);
  if (source < 0) return refuse(client, -source, "a bind of %s (%s)", request->path, strerror(-source));
  if ((one = owners_of(one->uid, one->gid, true)) == NULL) return -errno;
  unsigned recursive = request->recursive ? AT_RECURSIVE : 0;
  scoped_fd int mnt = open_tree_at(source, recursive);
  if (mnt < 0) return -errno;
  uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0);
  int result = set_owners(mnt, one->fd, recursive, attributes);
  return result < 0 ? result : locked_copy(mnt, recursive);
}

/* --- The namespaces, and what leads out of them --- */

/* A process that is in the new namespaces until they are kept. */
static int make_namespaces(void) {
  int made[2];
  if (pipe2(made, O_CLOEXEC) < 0) return -errno;
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    int error = unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0 ? errno : 0;
    if (write(made[1], &error, sizeof error) < 0) _exit(1);
    for (;;) pause();
  }
  int error = pid < 0 ? errno : EIO;
  ssize_t n = pid < 0 ? 0 : read(made[0], &error, sizeof error);
  if ((n != (ssize_t)sizeof error && error == 0) || error < 0) error = EIO;
  if (error == 0) error = -write_maps(pid, policy.uid_map, policy.gid_map);
  if (error == 0 && keep_namespaces(pid) < 0) error = errno;
  if (pid > 0) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
  close(made[0]);
  close(made[1]);
  return -error;
}

/* Sends netlink messages, and gives the first error that the kernel answers with, as a negative errno. The socket is kept. */
static int send_netlink(int protocol, struct wire_bytes messages) {
  static uint8_t answer[65536];
  if (messages.length == 0) return 0;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int result = sendto(fd, messages.data, messages.length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0 ? -errno : 0;
  ssize_t n;
  while (result == 0 && (n = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) > 0) {
    for (size_t at = 0; at + sizeof(struct nlmsghdr) + sizeof(int) <= (size_t)n;) {
      struct nlmsghdr head;
      int error;
      memcpy(&head, answer + at, sizeof head);
      memcpy(&error, answer + at + sizeof head, sizeof error);
      if (head.nlmsg_len < sizeof head || head.nlmsg_len > (size_t)n - at) break;
      if (head.nlmsg_type == NLMSG_ERROR && error != 0 && result == 0) result = error < 0 && error >= -ERRNO_MAX ? error : -EPROTO;
      at += NLMSG_ALIGN(head.nlmsg_len);
    }
  }
  if (result < 0) close(fd);
  return result;
}

/* The same, while there still is what a guard before has made: the kernel takes that away a moment later than its namespace. */
static int send_patiently(int protocol, struct wire_bytes messages) {
  int result = send_netlink(protocol, messages);
  for (int i = 0; i < 300 && (result == -EEXIST || result == -EPERM); i++) {
    send_netlink(NETLINK_ROUTE, policy.removal);
    usleep(10000);
    result = send_netlink(protocol, messages);
  }
  return result;
}

static int lead_out(void) {
  scoped_fd int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  int result = send_patiently(NETLINK_ROUTE, policy.links);
  if (result == 0) result = send_patiently(NETLINK_NETFILTER, policy.firewall);
  if (result < 0 || policy.inside.length == 0) return result;
  if (setns(FIRST_KEPT + KEPT_NETWORK, CLONE_NEWNET) < 0) return -errno;
  result = send_netlink(NETLINK_ROUTE, policy.inside);
  return setns(own, CLONE_NEWNET) < 0 ? -errno : result;
}

/* --- Whoever asks --- */

static int handle(const struct client *client, const struct keeper_request *request, const int *fds, unsigned count, bool *keep) {
  *keep = false;
  switch (request->kind) {
    case KEEPER_SOCKET: return published_socket(client, request);
    case KEEPER_OWNERS:
      *keep = true;
      return new_owners(client, request);
    case KEEPER_BIND: return bound_source(client, request, fds, count);
    default: return refuse(client, ENOSYS, "a request of the kind %u", request->kind);
  }
}

/* Answers one request; false when the client has gone, or speaks nonsense. */
static bool answer_client(int fd, const struct client *client) {
  static struct keeper_request request;
  int given[KEPT], result;
  unsigned count = 0;
  bool keep = true, sent;
  ssize_t n = keeper_receive(fd, &request, sizeof request, MSG_DONTWAIT, given, KEPT, &count);
  if (n == -EAGAIN || n == -EWOULDBLOCK) return true;
  if (n > (ssize_t)offsetof(struct keeper_request, path)) {
    request.address[sizeof request.address - 1] = '\0';
    ((char *)&request)[n - 1] = '\0';
    if (request.kind == KEEPER_NAMESPACES) {
      static const int kept[KEPT] = {FIRST_KEPT, FIRST_KEPT + 1, FIRST_KEPT + 2};
      sent = keeper_answer(fd, 0, kept, KEPT) == 0;
    } else if (request.kind == KEEPER_MAP) {
      sent = keeper_answer(fd, -map_mount(client, &request, given, count), NULL, 0) == 0;
    } else {
      result = handle(client, &request, given, count, &keep);
      sent = keeper_answer(fd, result < 0 ? -result : 0, &result, result < 0 ? 0 : 1) == 0;
      if (result >= 0 && !keep) close(result);
    }
  } else {
    sent = false;
    if (n > 0) refuse(client, EPROTO, "a message of %zd bytes", n);
  }
  for (unsigned i = 0; i < count; i++) close(given[i]);
  return sent;
}

/* Takes a connection by root, or by whom the guard is for; -1: there is none. */
static int take_client(int listener, struct client *client) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (fd < 0) return -1;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
    *client = (struct client){peer.pid, peer.uid};
    if (peer.uid == 0 || peer.uid == policy.uid) return fd;
    refuse(client, EPERM, "a connection");
  }
  close(fd);
  return -1;
}

/* Who finds a guard comes again a moment later, as the daemon: so long it stays with nobody. */
#define GRACE_MS 300

/* Serves until nobody is connected any more, or nobody has ever come. */
static void serve_all(int listener) {
  static struct pollfd fds[MAX_CLIENTS + 1];
  static struct client clients[MAX_CLIENTS + 1];
  nfds_t count = 1;
  bool served = false;
  fds[0] = (struct pollfd){listener, POLLIN, 0};
  for (;;) {
    int ready = poll(fds, count, !served ? FIRST_CLIENT_MS : count > 1 ? -1 : GRACE_MS);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    for (nfds_t i = count - 1; i > 0; i--) {
      if (fds[i].revents == 0 || answer_client(fds[i].fd, &clients[i])) continue;
      close(fds[i].fd);
      fds[i] = fds[--count];
      clients[i] = clients[count];
    }
    /* Who finds no room waits in the queue. */
    fds[0].events = count <= MAX_CLIENTS ? POLLIN : 0;
    if ((fds[0].revents & POLLIN) == 0 || count > MAX_CLIENTS) continue;
    int fd = take_client(listener, &clients[count]);
    if (fd < 0) continue;
    served = true;
    fds[count++] = (struct pollfd){fd, POLLIN, 0};
  }
}

static int failed(const char *what, int error) {
  fprintf(stderr, "berth-helper guard: %s: %s\n", what, strerror(error));
  return 1;
}

static bool read_policy(void) {
  static uint8_t text[POLICY_MAX];
  size_t have = 0;
  for (ssize_t n; have < sizeof text && (n = read(STDIN_FILENO, text + have, sizeof text - have)) != 0; have += (size_t)n) {
    if (n < 0) return false;
  }
  uint32_t length;
  if (have < WIRE_HEADER || have == sizeof text) return false;
  memcpy(&length, text, sizeof length);
  return length == have - WIRE_HEADER && guard_policy_read(&policy, text + WIRE_HEADER, length) &&
         policy.read_only.count == policy.sources.count && policy.prefixes.count == policy.addresses.count;
}

/* A guard that ends takes its socket away, which must not be the next one's: waits until it has gone. */
static int wait_for_others(const char *socket) {
  char path[4200];
  snprintf(path, sizeof path, "%s.lock", socket);
  int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  int result = -1;
  for (int i = 0; i < 1000 && (result = flock(fd, LOCK_EX | LOCK_NB)) < 0; i++) usleep(10000);
  return result < 0 ? -errno : 0;
}

/* Whoever has been the last is still in them for a moment. What others are below is left to the next start. */
static void remove_groups(void) {
  struct wire_list cgroups = policy.cgroups;
  int patience = 100;
  for (uint32_t i = 0; i < policy.cgroups.count; i++) {
    const char *path = wire_next_str(&cgroups);
    while (rmdir(path) < 0 && errno == EBUSY && patience-- > 0) usleep(10000);
  }
}

int run_guard(int argc, char **argv) {
  if (argc != 3 || strcmp(argv[1], "guard") != 0) return -1;
  prctl(PR_SET_NAME, "berth-guard");
  prctl(PR_SET_PDEATHSIG, 0);
  signal(SIGPIPE, SIG_IGN);
  /* Whoever is refused again and again does not fill the disk. */
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){LOG_BYTES, LOG_BYTES});
  if (setsid() < 0 || chdir("/") < 0) return failed("leave the session", errno);
  raise_file_limit();
  own_file = argv[2];
  if (!read_policy()) return failed("the policy", EPROTO);
  log_fd = open(policy.log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (log_fd < 0) return failed(policy.log, errno);
  int result = wait_for_others(argv[2]);
  if (result < 0) return failed("another guard is there", -result);
  result = make_namespaces();
  if (result < 0) return failed("make namespaces", -result);
  if ((result = lead_out()) < 0) return failed("the way out of the network namespace", -result);
  int listener = listen_at(argv[2]);
  if (listener < 0 || chown(argv[2], policy.uid, policy.gid) < 0) return failed(argv[2], errno);
  if (write(STDOUT_FILENO, "kept\n", 5) != 5) return 1;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; i++) dup2(null, i);
  serve_all(listener);
  send_netlink(NETLINK_ROUTE, policy.removal);
  remove_groups();
  /* The last of all: who asks meanwhile waits until it is gone, and what the next guard makes has the same names. */
  unlink(argv[2]);
  return 0;
}
