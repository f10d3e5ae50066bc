/*
 * Network namespaces, netlink and sockets. The process enters a namespace only for the moment in which a descriptor is
 * made there; if it cannot come back it ends, since every later request would act in the wrong place.
 */
#include "helper.h"

#include "../keeper.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "../bind.h"

/* How long a shim may take to give what it keeps; seconds. */
#define ADOPT_S 5

static int home_netns(void) {
  static int fd = -1;
  if (fd < 0) fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  return fd;
}

static int enter(uint32_t netns) {
  if (netns == 0) return 0;
  if (home_netns() < 0) return -1;
  return setns((int)netns, CLONE_NEWNET);
}

static void come_home(uint32_t netns) {
  int error = errno;
  if (netns != 0 && setns(home_netns(), CLONE_NEWNET) < 0) {
    fprintf(stderr, "berth-helper: cannot leave a network namespace: %s\n", strerror(errno));
    _exit(1);
  }
  errno = error;
}

int handle_netns_new(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_netns_new request;
  if (!helper_netns_new_read(&request, body, length)) return fail(out, EPROTO, "netns_new");
  if (home_netns() < 0) return fail(out, errno, "open /proc/self/ns/net");
  if (request.owner != 0) return owned_netns(out, (int)request.owner);
  if (unshare(CLONE_NEWNET) < 0) return fail(out, errno, "unshare a network namespace");
  int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  come_home(1);
  if (fd < 0) return fail(out, errno, "open /proc/self/ns/net");
  out->value = (uint64_t)fd;
  return 0;
}

int handle_netns_open(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_netns_open request;
  if (!helper_netns_open_read(&request, body, length)) return fail(out, EPROTO, "netns_open");
  int fd = open(request.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(out, errno, "open %s", request.path);
  out->value = (uint64_t)fd;
  return 0;
}

int handle_close(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_close request;
  if (!helper_close_read(&request, body, length)) return fail(out, EPROTO, "close");
  if (request.handle > 2) close((int)request.handle);
  return 0;
}

static int netlink_socket(uint32_t netns, uint32_t protocol) {
  if (enter(netns) < 0) return -1;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, (int)protocol);
  come_home(netns);
  if (fd < 0) return -1;
  int size = 8 << 20, on = 1;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return fd;
}

/* True when this datagram holds the final answer to `seq`: an ack or error for it, or the end of its dump. */
static bool answers(const uint8_t *data, size_t length, uint32_t seq) {
  for (size_t at = 0; at + sizeof(struct nlmsghdr) <= length;) {
    struct nlmsghdr head;
    memcpy(&head, data + at, sizeof head);
    /* A length that leads nowhere ends it: aligned, the largest of them would be 0. */
    if (head.nlmsg_len < sizeof head || head.nlmsg_len > length - at) return true;
    bool final = head.nlmsg_type == NLMSG_ERROR || head.nlmsg_type == NLMSG_DONE;
    if (head.nlmsg_seq == seq && final) return true;
    at += NLMSG_ALIGN(head.nlmsg_len);
  }
  return false;
}

/*
 * The kernel handles netlink messages inside send and continues a dump inside recv, so that every answer is there when it
 * is asked for: nothing ever waits. What an earlier failed request left behind is thrown away first.
 */
static int exchange(struct answer *out, int fd, const struct helper_netlink *request) {
  while (recv(fd, out->buffer, ANSWER_SIZE, MSG_DONTWAIT) >= 0) {
  }
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent = sendto(fd, request->messages.data, request->messages.length, 0,
                        (struct sockaddr *)&kernel, sizeof kernel);
  if (sent < 0) return fail(out, errno, "send netlink messages");
  while (out->length < ANSWER_SIZE) {
    ssize_t n = recv(fd, out->buffer + out->length, ANSWER_SIZE - out->length, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return 0;
    if (n < 0) return fail(out, errno, "receive netlink messages");
    const uint8_t *datagram = out->buffer + out->length;
    out->length += (size_t)n;
    if (answers(datagram, (size_t)n, request->last_seq)) return 0;
  }
  return fail(out, EMSGSIZE, "netlink answers");
}

#define CACHED_PROTOCOLS 32
static int host_sockets[CACHED_PROTOCOLS];

static struct {
  int fd; /* 0: none yet */
  uint32_t protocol;
  uint32_t id;
  bool waits;
} watch;

int handle_netlink_watch(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_netlink_watch request;
  if (!helper_netlink_watch_read(&request, body, length) || request.protocol >= CACHED_PROTOCOLS) {
    return fail(out, EPROTO, "netlink_watch");
  }
  if (watch.fd == 0) {
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = request.groups};
    int fd = netlink_socket(0, request.protocol);
    if (fd < 0) return fail(out, errno, "netlink socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
      int error = errno;
      close(fd);
      return fail(out, error, "join netlink groups %u", request.groups);
    }
    watch.fd = fd;
    watch.protocol = request.protocol;
  }
  watch.id = request.id;
  watch.waits = out->waits = true;
  return 0;
}

int watched_fd(void) {
  return watch.waits ? watch.fd : -1;
}

/* Whether the kernel tells of what a request here has caused: it says whose socket that came from. */
static bool is_own(const uint8_t *data, size_t length) {
  struct nlmsghdr head;
  struct sockaddr_nl own;
  socklen_t size = sizeof own;
  if (length < sizeof head || host_sockets[watch.protocol] == 0) return false;
  memcpy(&head, data, sizeof head);
  return getsockname(host_sockets[watch.protocol], (struct sockaddr *)&own, &size) == 0 && own.nl_pid == head.nlmsg_pid;
}

bool take_watched(struct answer *out) {
  while (out->length < ANSWER_SIZE / 2) {
    uint8_t *at = out->buffer + out->length;
    ssize_t n = recv(watch.fd, at, ANSWER_SIZE - out->length, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {
      out->value = 1;
      continue;
    }
    if (n <= 0) break;
    if (!is_own(at, (size_t)n)) out->length += (size_t)n;
  }
  if (out->length == 0 && out->value == 0) return false;
  out->id = watch.id;
  watch.waits = false;
  return true;
}

int handle_netlink(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_netlink request;
  if (!helper_netlink_read(&request, body, length) || request.protocol >= CACHED_PROTOCOLS) {
    return fail(out, EPROTO, "netlink");
  }
  if (request.netns == 0) {
    int *cached = &host_sockets[request.protocol];
    if (*cached == 0) {
      int fd = netlink_socket(0, request.protocol);
      if (fd < 0) return fail(out, errno, "netlink socket");
      *cached = fd;
    }
    return exchange(out, *cached, &request);
  }
  scoped_fd int fd = netlink_socket(request.netns, request.protocol);
  if (fd < 0) return fail(out, errno, "netlink socket");
  return exchange(out, fd, &request);
}

int kept_netlink(void) {
  return host_sockets[NETLINK_NETFILTER] > 0 ? host_sockets[NETLINK_NETFILTER] : -1;
}

/* Asks a shim for the netlink socket that it keeps: the descriptor, or -1 with errno set. */
static int ask_shim(const char *rundir) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  scoped_fd int dir = open(rundir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return -1;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/shim.sock", dir);
  scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = ADOPT_S};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  uint8_t frame[WIRE_HEADER], byte;
  struct wire_writer w = wire_begin(frame, sizeof frame, SHIM_GIVE_NETLINK);
  if (send(fd, frame, wire_end(&w), MSG_NOSIGNAL) < 0) return -1;
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec data = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return -1;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  int given;
  if (n == 0 || head == NULL || head->cmsg_type != SCM_RIGHTS) return errno = ENOTSUP, -1;
  memcpy(&given, CMSG_DATA(head), sizeof given);
  return given;
}

/* Takes the same out of a shim without asking, where the kernel lets one process do that with another. */
static int take_from(uint32_t pid) {
  scoped_fd int shim = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  return shim < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, shim, OWNER_FD, 0);
}

int handle_netlink_adopt(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_netlink_adopt request;
  if (!helper_netlink_adopt_read(&request, body, length)) return fail(out, EPROTO, "netlink_adopt");
  if (kept_netlink() >= 0) return fail(out, EALREADY, "netlink socket");
  int fd = request.pid == 0 ? ask_shim(request.rundir) : take_from(request.pid);
  if (fd < 0) return fail(out, errno, "ask the shim of %s for its netlink socket", request.rundir);
  int protocol = -1;
  socklen_t size = sizeof protocol;
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 || protocol != NETLINK_NETFILTER) {
    close(fd);
    return fail(out, EPROTOTYPE, "%s", request.rundir);
  }
  host_sockets[NETLINK_NETFILTER] = fd;
  return 0;
}

/* A published port's socket, of the keeper where the daemon has namespaces of its own. */
static int outer_socket(const struct helper_socket *request) {
  int keeper = keeper_fd();
  uint32_t family = request->family, type = request->type, protocol = request->protocol;
  return keeper < 0 ? bound_socket(family, type, protocol, request->address, request->port, request->options)
                    : keeper_socket(keeper, family, type, protocol, request->address, request->port, request->options);
}

int handle_socket(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_socket request;
  union any_address bound;
  socklen_t size = sizeof bound;
  if (!helper_socket_read(&request, body, length)) return fail(out, EPROTO, "socket");
  if (enter(request.netns) < 0) return fail(out, errno, "enter a network namespace");
  int fd = request.netns == 0 ? outer_socket(&request)
                              : bound_socket(request.family, request.type, request.protocol, request.address, request.port, request.options);
  come_home(request.netns);
  if (fd < 0) return fail(out, -fd, "bind %s:%u", request.address, request.port);
  if (getsockname(fd, &bound.any, &size) < 0) {
    int error = errno;
    close(fd);
    return fail(out, error, "bind %s:%u", request.address, request.port);
  }
  out->value = (uint64_t)fd;
  out->length = (size_t)sprintf((char *)out->buffer, "%u", (unsigned)port_of(&bound));
  return 0;
}

/* /proc/sys/net follows the namespace of the process that opens it, so the open happens inside. */
int handle_sysctl(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_sysctl request;
  if (!helper_sysctl_read(&request, body, length)) return fail(out, EPROTO, "sysctl");
  char path[512];
  if (strstr(request.key, "..") != NULL ||
      snprintf(path, sizeof path, "/proc/sys/%s", request.key) >= (int)sizeof path) {
    return fail(out, EINVAL, "sysctl %s", request.key);
  }
  if (enter(request.netns) < 0) return fail(out, errno, "enter a network namespace");
  scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : write(fd, request.value, strlen(request.value));
  come_home(request.netns);
  return n < 0 ? fail(out, errno, "%s", path) : 0;
}

int handle_unix_datagram(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_unix_datagram request;
  if (!helper_unix_datagram_read(&request, body, length)) return fail(out, EPROTO, "unix_datagram");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(request.path) >= sizeof address.sun_path) return fail(out, ENAMETOOLONG, "%s", request.path);
  strcpy(address.sun_path, request.path);
  scoped_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(out, errno, "socket");
  int size = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  const struct sockaddr *to = (const struct sockaddr *)&address;
  ssize_t n = sendto(fd, request.data.data, request.data.length, MSG_DONTWAIT | MSG_NOSIGNAL, to, sizeof address);
  return n < 0 ? fail(out, errno, "send to %s", request.path) : 0;
}
