/*
 * Asking the keeper (helper/keeper.c), which stays outside when a daemon has namespaces of its own: one message, one answer,
 * with descriptors beside it. A connection keeps the keeper, and with it the namespaces, whoever else ends.
 */
#ifndef BERTH_KEEPER_H
#define BERTH_KEEPER_H
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum keeper_request_kind { KEEPER_NAMESPACES = 1, KEEPER_SOCKET };

/* The last three are socket(2)'s, of KEEPER_SOCKET. */
struct keeper_request {
  uint32_t kind, family, type, protocol;
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

/* Sends an errno and `count` descriptors. */
static inline int keeper_answer(int fd, int32_t error, const int *fds, unsigned count) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(KEPT * sizeof(int))];
  } control = {0};
  struct iovec data = {&error, sizeof error};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Asks for `count` descriptors, which are close-on-exec; 0 or a negative errno, the keeper's or the connection's. */
static inline int keeper_ask(int fd, const struct keeper_request *request, int *fds, unsigned count) {
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(KEPT * sizeof(int))];
  } control = {0};
  int32_t error = 0;
  struct iovec data = {&error, sizeof error};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (send(fd, request, sizeof *request, MSG_NOSIGNAL) < 0) return -errno;
  ssize_t n;
  while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (n < 0) return -errno;
  if (n != (ssize_t)sizeof error) return -ECONNRESET;
  if (error != 0) return -error;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head == NULL || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(count * sizeof(int))) return -EPROTO;
  memcpy(fds, CMSG_DATA(head), count * sizeof(int));
  return 0;
}

/* A socket of the namespace in which the keeper is, or a negative errno. */
static inline int keeper_socket(int fd, uint32_t family, uint32_t type, uint32_t protocol) {
  struct keeper_request request = {KEEPER_SOCKET, family, type, protocol};
  int made = -1;
  int result = keeper_ask(fd, &request, &made, 1);
  return result < 0 ? result : made;
}
#endif
