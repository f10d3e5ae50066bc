/*
 * Asking the keeper (helper/keeper.c), which stays outside when a daemon has namespaces of its own: one message, one answer,
 * with descriptors beside it. A connection keeps the keeper, and with it the namespaces, whoever else ends.
 */
#ifndef BERTH_KEEPER_H
#define BERTH_KEEPER_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* KEEPER_OWNERS, KEEPER_MAP and KEEPER_BIND only a guard (helper/guard.c) knows, and KEEPER_CONNECTION it does not. */
enum keeper_request_kind { KEEPER_NAMESPACES = 1, KEEPER_SOCKET, KEEPER_OWNERS, KEEPER_MAP, KEEPER_BIND, KEEPER_CONNECTION };

struct keeper_request {
  uint32_t kind;
  /* KEEPER_SOCKET: a socket that is bound, by SOCKET_* options; the answer's descriptor is it. */
  uint32_t family, type, protocol, options, port;
  char address[48];
  /* KEEPER_OWNERS: the first ids of a container; the answer is a user namespace through which owners are seen. */
  uint32_t uid, gid;
  /* KEEPER_MAP: with the descriptors of a detached mount and of such a namespace: the mount's owners are seen so. KEEPER_BIND: with
   * the latter alone; the answer is a mount of the path. */
  uint32_t recursive;
  char path[4096];
};

/* The user, the mount and the network namespace. */
enum { KEPT_USER, KEPT_MOUNT, KEPT_NETWORK, KEPT };

/* Connects to the keeper; -errno: there is none. */
static inline int keeper_connect(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

/* Room for descriptors beside a message. */
union keeper_rights {
  struct cmsghdr head;
  char room[CMSG_SPACE(KEPT * sizeof(int))];
};

/* Sends bytes with `count` descriptors, of which there are KEPT at most; 0 or a negative errno. */
static inline int keeper_send(int fd, const void *bytes, size_t size, const int *fds, unsigned count) {
  union keeper_rights control = {0};
  struct iovec data = {(void *)bytes, size};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Receives a message with `most` descriptors at most, which are close-on-exec; `count` says how many. Gives its length, 0 at
 * the end, or a negative errno. What is more than that is closed.
 */
static inline ssize_t keeper_receive(int fd, void *bytes, size_t size, int flags, int *fds, unsigned most, unsigned *count) {
  union keeper_rights control = {0};
  struct iovec data = {bytes, size};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n;
  *count = 0;
  while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | flags)) < 0 && errno == EINTR) {
  }
  if (n < 0) return -errno;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head == NULL || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) return n;
  unsigned all = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  for (unsigned i = 0; i < all; i++) {
    int one;
    memcpy(&one, CMSG_DATA(head) + i * sizeof one, sizeof one);
    if (i < most) fds[(*count)++] = one;
    else close(one);
  }
  return n;
}

/* Answers with an errno and `count` descriptors. */
static inline int keeper_answer(int fd, int32_t error, const int *fds, unsigned count) {
  return keeper_send(fd, &error, sizeof error, fds, count);
}

/* Asks, with `given` descriptors, for `wanted` of them; 0 or a negative errno, the keeper's or the connection's. */
static inline int keeper_ask(int fd, const struct keeper_request *request, const int *give, unsigned given, int *fds, unsigned wanted) {
  int32_t error = 0;
  unsigned count;
  size_t size = offsetof(struct keeper_request, path) + strlen(request->path) + 1;
  int result = keeper_send(fd, request, size, give, given);
  if (result < 0) return result;
  ssize_t n = keeper_receive(fd, &error, sizeof error, 0, fds, wanted, &count);
  if (n == (ssize_t)sizeof error && error == 0 && count == wanted) return 0;
  for (unsigned i = 0; i < count; i++) close(fds[i]);
  if (n < 0) return (int)n;
  if (n != (ssize_t)sizeof error) return -ECONNRESET;
  return error > 0 ? -error : -EPROTO;
}

/* Another connection, or a negative errno: whoever has one needs no path. */
static inline int keeper_another(int fd) {
  struct keeper_request request = {.kind = KEEPER_CONNECTION};
  int made = -1;
  int result = keeper_ask(fd, &request, NULL, 0, &made, 1);
  return result < 0 ? result : made;
}

/* A bound socket of the namespace in which the keeper is, or a negative errno. */
static inline int keeper_socket(int fd, uint32_t family, uint32_t type, uint32_t protocol, const char *address, uint32_t port, uint32_t options) {
  struct keeper_request request = {KEEPER_SOCKET, .family = family, .type = type, .protocol = protocol, .options = options, .port = port};
  int made = -1;
  if (strlen(address) >= sizeof request.address) return -EINVAL;
  strcpy(request.address, address);
  int result = keeper_ask(fd, &request, NULL, 0, &made, 1);
  return result < 0 ? result : made;
}

/* Has the owners of a detached mount seen through a user namespace of the guard's; 0 or a negative errno. */
static inline int keeper_map(int fd, int mnt, int owners, bool recursive) {
  struct keeper_request request = {KEEPER_MAP, .recursive = recursive};
  int given[2] = {mnt, owners};
  return keeper_ask(fd, &request, given, 2, NULL, 0);
}
#endif
