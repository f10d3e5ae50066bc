/*
 * Sockets of the world, and what comes at them: events, of which an input has one after the other.
 *
 * An event is u8 which of the watched descriptors, u8 what has happened (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP; MORE: the
 * next event comes with it), u8 how (the bits below), and a part (u16 length, bytes): what has come.
 */
#include "world.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "events.h"

#define MORE 0x40

struct bytes events_left;
uint32_t report_size;
void (*message_sent)(const struct msghdr *message);

static struct descriptor *chosen(uint8_t which, int *fd) {
  int count = 0, at = 0;
  for (int i = 0; i < world.high; i++) count += world.descriptors[i].watched;
  if (count == 0) return NULL;
  which = (uint8_t)(which % count);
  for (at = 0; at < world.high; at++) {
    if (world.descriptors[at].watched && which-- == 0) break;
  }
  *fd = at;
  return &world.descriptors[at];
}

/* Processes that end: pairs of which it is, and its status. */
static void end_processes(struct bytes what) {
  while (bytes_left(&what) > 0) {
    uint8_t which = take_u8(&what) & 63;
    world.has_ended[which] = true;
    world.ended[which] = take_u8(&what) & 0x80 ? 9 : 0x100;
  }
}

bool world_event(struct epoll_event *event, bool *more) {
  int fd = -1;
  uint8_t which = take_u8(&events_left), what = take_u8(&events_left), how = take_u8(&events_left);
  struct bytes data = take_part(&events_left);
  *more = what & MORE;
  if (how & HOW_SECOND) world.now += 1000000000u;
  if (how & HOW_MINUTE) world.now += 60000000000u;
  if (how >> 4 && world.failure == 0) {
    world.failure = how >> 4;
    world.skip = how & HOW_LATER ? 1 : 0;
  }
  if (which == PROCESSES_END) {
    end_processes(data);
    which = SIGNALS;
    what |= EPOLLIN;
  }
  struct descriptor *it = chosen(which, &fd);
  if (it == NULL) return false;
  if (bytes_left(&it->in) == 0) it->in = data;
  if (how & HOW_ENDS) it->ends = true;
  if (it->kind == SOCKET_KIND) it->clients = 1;
  uint32_t seen = what & ((it->events & (EPOLLIN | EPOLLOUT)) | EPOLLERR | EPOLLHUP);
  if (seen == 0) return false;
  *event = (struct epoll_event){.events = seen, .data.u64 = it->data};
  return true;
}

int world_epoll_create1(int flags) { return (void)flags, world_new(EPOLL_KIND); }

int world_epoll_ctl(int epoll, int command, int fd, struct epoll_event *event) {
  (void)epoll;
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (command == EPOLL_CTL_ADD && world_fails()) return -1;
  if (command == EPOLL_CTL_ADD ? it->watched : !it->watched) return errno = it->watched ? EEXIST : ENOENT, -1;
  it->watched = command != EPOLL_CTL_DEL;
  if (!it->watched) return 0;
  it->events = event->events;
  it->data = event->data.u64;
  return 0;
}

int world_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
  (void)epoll;
  if (timeout > 0) world.now += 1000000u;
  /* What one request costs is bounded; how many come is not. */
  world.calls = 0;
  if (bytes_left(&events_left) == 0) world_end();
  int count = 0;
  for (bool more = true; more && count < most && bytes_left(&events_left) > 0;) count += world_event(&events[count], &more);
  return count;
}

/* --- sockets --- */

int world_socket(int family, int type, int protocol) {
  if (world_fails()) return -1;
  int fd = world_new(SOCKET_KIND);
  if (fd < 0) return -1;
  struct descriptor *it = &world.descriptors[fd];
  it->family = family;
  it->type = type & 0xf;
  it->protocol = protocol != 0 ? protocol : it->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
  return fd;
}

int world_socketpair(int family, int type, int protocol, int *ends) {
  ends[0] = world_socket(family, type, protocol);
  if (ends[0] < 0) return -1;
  ends[1] = world_socket(family, type, protocol);
  if (ends[1] >= 0) return 0;
  world.descriptors[ends[0]] = (struct descriptor){0};
  return -1;
}

int world_accept4(int fd, struct sockaddr *from, socklen_t *size, int flags) {
  (void)from;
  (void)size;
  (void)flags;
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  /* Who waits for a client, and does not look beforehand whether there is one, gets one. */
  if (it->clients == 0 && it->watched) return errno = EAGAIN, -1;
  if (it->clients > 0) it->clients--;
  return world_socket(it->family, it->type == SOCK_SEQPACKET ? it->type : SOCK_STREAM, it->protocol);
}

int world_bind(int fd, const struct sockaddr *name, socklen_t size) {
  struct descriptor *it = world_get(fd);
  world_look(name, size);
  if (it == NULL || world_fails()) return -1;
  memcpy(&it->name, name, size);
  it->name_size = size;
  return 0;
}
int world_connect(int fd, const struct sockaddr *to, socklen_t size) {
  world_look(to, size);
  return world_get(fd) == NULL || world_fails() ? -1 : 0;
}
int world_listen(int fd, int queue) { return (void)queue, world_get(fd) == NULL || world_fails() ? -1 : 0; }
int world_shutdown(int fd, int how) { return (void)how, world_get(fd) == NULL || world_fails() ? -1 : 0; }

int world_getsockname(int fd, struct sockaddr *name, socklen_t *size) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (it->kind != SOCKET_KIND) return errno = ENOTSOCK, -1;
  if (world_fails()) return -1;
  it->name.ss_family = (sa_family_t)it->family;
  memcpy(name, &it->name, *size < sizeof it->name ? *size : sizeof it->name);
  return 0;
}

int world_getpeername(int fd, struct sockaddr *name, socklen_t *size) { return world_getsockname(fd, name, size); }

int world_getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
  (void)level;
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (option == SO_PEERCRED) {
    const struct ucred peer = {.pid = 1234, .uid = take_u8(&world.content), .gid = 0};
    memcpy(value, &peer, *size < sizeof peer ? *size : sizeof peer);
    return world_fails() ? -1 : 0;
  }
  int number = option == SO_PROTOCOL ? it->protocol : world_fails() ? errno : 0;
  memcpy(value, &number, *size < sizeof number ? *size : sizeof number);
  return 0;
}
int world_setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
  return (void)level, (void)option, world_look(value, size), world_get(fd) == NULL ? -1 : 0;
}

ssize_t world_send(int fd, const void *from, size_t size, int flags) {
  (void)flags;
  struct descriptor *it = world_get(fd);
  world_look(from, size);
  if (it == NULL) return -1;
  if (!world_fails()) return (ssize_t)size;
  /* A part of it has been taken: what two kinds of failure mean by half. */
  return errno == EINPROGRESS ? (ssize_t)(size / 2) : -1;
}

ssize_t world_sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t to_size) {
  if (to != NULL) world_look(to, to_size);
  ssize_t sent = world_send(fd, from, size, flags);
  if (sent < 0 || to_size > sizeof world.sent_to[0]) return sent;
  uint32_t at = world.sent++ % 4;
  memcpy(&world.sent_to[at], to, to_size);
  world.sent_size[at] = to_size;
  return (ssize_t)size;
}

ssize_t world_sendmsg(int fd, const struct msghdr *message, int flags) {
  if (message->msg_name != NULL) world_look(message->msg_name, message->msg_namelen);
  world_look(message->msg_control, message->msg_controllen);
  if (message_sent != NULL) message_sent(message);
  return world_send(fd, message->msg_iov->iov_base, message->msg_iov->iov_len, flags);
}

int world_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  unsigned sent = 0;
  while (sent < count && world_sendmsg(fd, &messages[sent].msg_hdr, flags) >= 0) sent++;
  return sent > 0 ? (int)sent : -1;
}

/* What the kernel answers over netlink is an input's content; elsewhere an event has brought it. */
ssize_t world_recv(int fd, void *to, size_t size, int flags) {
  (void)flags;
  struct descriptor *it = world_get(fd);
  if (it == NULL || world_fails()) return -1;
  bool kernel = it->family == AF_NETLINK;
  struct bytes from = kernel ? take_part(&world.content) : it->in;
  if (bytes_left(&from) == 0 && (kernel || !it->ends)) return errno = EAGAIN, -1;
  struct bytes got = take_bytes(&from, size);
  if (!kernel) it->in = it->type == SOCK_DGRAM ? (struct bytes){0} : from;
  /* What the kernel says goes where answers are written. */
  if (!kernel) world_fill(to, size, got.at, bytes_left(&got));
  else memcpy(to, got.at, bytes_left(&got));
  return (ssize_t)bytes_left(&got);
}

/* A datagram's sender: one whom something has been sent to, or a stranger. */
static socklen_t sender(struct descriptor *it, struct sockaddr_storage *from, uint8_t who) {
  memset(from, 0, sizeof *from);
  if (who < 4 && world.sent_size[who] > 0) {
    memcpy(from, &world.sent_to[who], world.sent_size[who]);
    return world.sent_size[who];
  }
  if (it->family == AF_INET6) {
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(who), .sin6_addr.s6_addr = {[0] = 0xfe, [1] = 0x80, [15] = who}};
    memcpy(from, &six, sizeof six);
    return sizeof six;
  }
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(who), .sin_addr.s_addr = htonl(0x7f000000u | who)};
  memcpy(from, &four, sizeof four);
  return sizeof four;
}

ssize_t world_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *from_size) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  struct sockaddr_storage who;
  socklen_t who_size = sender(it, &who, take_u8(&it->in));
  memcpy(from, &who, who_size < *from_size ? who_size : *from_size);
  *from_size = who_size;
  return world_recv(fd, to, size, flags);
}

/* Datagrams that come together: u8 sender and a part, each. */
int world_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, void *timeout) {
  (void)flags;
  (void)timeout;
  struct descriptor *it = world_get(fd);
  if (it == NULL || world_fails()) return -1;
  unsigned got = 0;
  for (; got < count && bytes_left(&it->in) > 0; got++) {
    struct msghdr *message = &messages[got].msg_hdr;
    struct sockaddr_storage who;
    socklen_t who_size = sender(it, &who, take_u8(&it->in));
    struct bytes data = take_part(&it->in);
    size_t room = message->msg_iov->iov_len, length = bytes_left(&data) < room ? bytes_left(&data) : room;
    memcpy(message->msg_name, &who, who_size < message->msg_namelen ? who_size : message->msg_namelen);
    message->msg_flags = bytes_left(&data) > room ? MSG_TRUNC : 0;
    world_fill(message->msg_iov->iov_base, room, data.at, length);
    messages[got].msg_len = (unsigned)length;
  }
  if (got == 0) errno = EAGAIN;
  return got == 0 ? -1 : (int)got;
}

/* A datagram of a port: who has sent it, and which of the host's addresses it came to. */
static ssize_t port_datagram(struct descriptor *it, struct msghdr *message) {
  if (bytes_left(&it->in) == 0) return errno = EAGAIN, -1;
  struct sockaddr_storage who;
  uint8_t from = take_u8(&it->in);
  socklen_t who_size = sender(it, &who, from);
  struct bytes data = take_part(&it->in);
  memcpy(message->msg_name, &who, who_size < message->msg_namelen ? who_size : message->msg_namelen);
  message->msg_namelen = who_size;
  struct cmsghdr *part = message->msg_control;
  bool six = it->family == AF_INET6;
  size_t size = six ? sizeof(struct in6_pktinfo) : sizeof(struct in_pktinfo);
  memset(part, 0, CMSG_SPACE(size));
  part->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
  part->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
  part->cmsg_len = CMSG_LEN(size);
  memset(CMSG_DATA(part), from, size);
  message->msg_controllen = from & 1 ? CMSG_SPACE(size) : 0;
  size_t room = message->msg_iov->iov_len, length = bytes_left(&data) < room ? bytes_left(&data) : room;
  world_fill(message->msg_iov->iov_base, room, data.at, length);
  return (ssize_t)length;
}

/* A child's report comes whole, filled up with zeros; the first of its numbers says whether a descriptor comes with it. */
static ssize_t report_of(struct descriptor *it, struct msghdr *message) {
  if (bytes_left(&it->in) == 0) {
    message->msg_controllen = 0;
    return it->ends ? 0 : (errno = EAGAIN, -1);
  }
  struct bytes data = take_bytes(&it->in, report_size);
  uint8_t *to = message->msg_iov->iov_base;
  memset(to, 0, message->msg_iov->iov_len);
  memcpy(to, data.at, bytes_left(&data));
  bool has = to[0] >= REPORT_PID_KIND && to[0] <= REPORT_DNS_TCP_KIND && to[3] == 0;
  to[1] = to[2] = to[3] = 0;
  message->msg_controllen = has ? CMSG_SPACE(sizeof(int)) : 0;
  if (has) {
    bool pid = to[0] == REPORT_PID_KIND, dns = to[0] > REPORT_PID_KIND + 1;
    int fd = dns ? world_socket(AF_INET, to[0] == REPORT_DNS_TCP_KIND ? SOCK_STREAM : SOCK_DGRAM, 0) : world_new(FILE_KIND);
    struct cmsghdr *part = message->msg_control;
    *part = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(part), &fd, sizeof fd);
    int32_t number = 1000 + world.processes++;
    if (pid) memcpy(to + 16, &number, sizeof number);
  }
  return (ssize_t)report_size;
}

/*
 * A keeper's message, or a client's to it: u8 how many descriptors come with it, for each u8 of which open one it is a copy (0: of
 * none), and bytes. Who is asked and not waited for answers with the content.
 */
static ssize_t kept_message(struct descriptor *it, struct msghdr *message) {
  struct bytes data = it->watched ? it->in : take_part(&world.content);
  it->in = (struct bytes){0};
  size_t room = message->msg_controllen >= CMSG_LEN(0) ? (message->msg_controllen - CMSG_LEN(0)) / sizeof(int) : 0;
  message->msg_controllen = 0;
  if (bytes_left(&data) == 0) return it->ends || !it->watched ? 0 : (errno = EAGAIN, -1);
  uint8_t count = take_u8(&data) & 7;
  int fds[8];
  for (uint8_t i = 0; i < count; i++) {
    uint8_t which = take_u8(&data);
    fds[i] = world_new(FILE_KIND);
    if (fds[i] >= 0 && which > 0 && world_get(which) != NULL) world.descriptors[fds[i]].ino = world.descriptors[which].ino;
  }
  /* What there is no room for the kernel closes. */
  for (; count > room; count--) world.descriptors[fds[count - 1]] = (struct descriptor){0};
  if (count > 0) {
    struct cmsghdr *part = message->msg_control;
    *part = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
    memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    message->msg_controllen = CMSG_LEN(count * sizeof(int));
  }
  struct bytes got = take_bytes(&data, message->msg_iov->iov_len);
  world_fill(message->msg_iov->iov_base, message->msg_iov->iov_len, got.at, bytes_left(&got));
  return (ssize_t)bytes_left(&got);
}

ssize_t world_recvmsg(int fd, struct msghdr *message, int flags) {
  (void)flags;
  struct descriptor *it = world_get(fd);
  if (it == NULL || world_fails()) return -1;
  if (it->type != SOCK_SEQPACKET) return port_datagram(it, message);
  return report_size > 0 ? report_of(it, message) : kept_message(it, message);
}
