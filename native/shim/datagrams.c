/*
 * Relayed ports of UDP: each client has a socket of its own towards the container, so that its answers find their way back, and
 * come from the address that the client has written to.
 */
#include "shim.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#define MAX_SESSIONS_BITS 9
#define MAX_SESSIONS (1u << MAX_SESSIONS_BITS)
#define DATAGRAM_MAX 65536u
#define ROUNDS 64

/* A client of a port. When every place is taken the one that has been silent for longest makes room. */
static struct session {
  bool used;
  uint32_t generation;
  int fd, port; /* towards the container; the published port's own */
  union any_address client;
  socklen_t client_size;
  struct in6_pktinfo local6;
  struct in_pktinfo local4;
  uint64_t moved_at;
} sessions[MAX_SESSIONS];
static uint8_t datagram[DATAGRAM_MAX];

union control {
  struct cmsghdr align;
  uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

void datagrams_prepare(const struct relay *relay) {
  int on = 1;
  setsockopt(relay->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  setsockopt(relay->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

static void end(struct session *session) {
  close(session->fd);
  session->used = false;
}

void datagrams_end(void) {
  for (uint32_t i = 0; i < MAX_SESSIONS; i++) {
    if (sessions[i].used) end(&sessions[i]);
  }
}

bool datagrams_have(int fd) {
  for (uint32_t i = 0; i < MAX_SESSIONS; i++) {
    if (sessions[i].used && sessions[i].fd == fd) return true;
  }
  return false;
}

static uint32_t tag_of(const struct session *session) {
  return session->generation << MAX_SESSIONS_BITS | (uint32_t)(session - sessions);
}

static bool same_client(const struct session *session, const struct session *other) {
  return session->port == other->port && session->client_size == other->client_size &&
         memcmp(&session->client, &other->client, other->client_size) == 0 &&
         memcmp(&session->local6.ipi6_addr, &other->local6.ipi6_addr, sizeof other->local6.ipi6_addr) == 0 &&
         session->local4.ipi_addr.s_addr == other->local4.ipi_addr.s_addr;
}

static struct session *session_for(const struct relay *relay, const struct session *wanted) {
  struct session *place = &sessions[0];
  for (uint32_t i = 0; i < MAX_SESSIONS; i++) {
    struct session *session = &sessions[i];
    if (session->used && same_client(session, wanted)) return session;
    if (place->used && (!session->used || session->moved_at < place->moved_at)) place = session;
  }
  if (place->used) end(place);
  uint32_t generation = place->generation + 1;
  int fd = socket(relay->target.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return NULL;
  *place = *wanted;
  place->generation = generation;
  place->fd = fd;
  if (connect(fd, &relay->target.any, relay->target_size) < 0 || watch(fd, EPOLLIN, SOURCE_DATAGRAMS, tag_of(place)) < 0) {
    close(fd);
    return NULL;
  }
  place->used = true;
  return place;
}

/* Which of the host's addresses a datagram was sent to. */
static void read_local(struct msghdr *message, struct session *out) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO)
      memcpy(&out->local6, CMSG_DATA(part), sizeof out->local6);
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO)
      memcpy(&out->local4, CMSG_DATA(part), sizeof out->local4);
  }
}

void datagrams_from_clients(const struct relay *relay) {
  for (int round = 0; round < ROUNDS; round++) {
    struct session from = {.port = relay->fd};
    union control control;
    struct iovec data = {.iov_base = datagram, .iov_len = sizeof datagram};
    struct msghdr message = {.msg_name = &from.client, .msg_namelen = sizeof from.client, .msg_iov = &data, .msg_iovlen = 1,
                             .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(relay->fd, &message, MSG_DONTWAIT);
    if (n < 0) return;
    from.client_size = message.msg_namelen;
    read_local(&message, &from);
    struct session *session = session_for(relay, &from);
    if (session == NULL) continue;
    session->moved_at = now_ms();
    /* What cannot be sent is lost, as datagrams are. */
    ssize_t sent = send(session->fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent;
  }
}

static void answer(const struct session *session, size_t length) {
  union control control = {0};
  struct iovec data = {.iov_base = datagram, .iov_len = length};
  struct msghdr message = {.msg_name = (void *)&session->client, .msg_namelen = session->client_size, .msg_iov = &data,
                           .msg_iovlen = 1, .msg_control = &control};
  struct cmsghdr *part = &control.align;
  bool six = session->client.any.sa_family == AF_INET6;
  struct in6_pktinfo local6 = session->local6;
  struct in_pktinfo local4 = {.ipi_spec_dst = session->local4.ipi_addr};
  /* Only a link-local address needs its interface: others are answered by whatever way leads to the client. */
  if (!IN6_IS_ADDR_LINKLOCAL(&local6.ipi6_addr)) local6.ipi6_ifindex = 0;
  part->cmsg_level = six ? IPPROTO_IPV6 : IPPROTO_IP;
  part->cmsg_type = six ? IPV6_PKTINFO : IP_PKTINFO;
  part->cmsg_len = six ? CMSG_LEN(sizeof local6) : CMSG_LEN(sizeof local4);
  memcpy(CMSG_DATA(part), six ? (void *)&local6 : (void *)&local4, six ? sizeof local6 : sizeof local4);
  message.msg_controllen = six ? CMSG_SPACE(sizeof local6) : CMSG_SPACE(sizeof local4);
  sendmsg(session->port, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void datagrams_ready(uint32_t tag) {
  struct session *session = &sessions[tag & (MAX_SESSIONS - 1)];
  if (!session->used || tag_of(session) != tag) return;
  for (int round = 0; round < ROUNDS; round++) {
    ssize_t n = recv(session->fd, datagram, sizeof datagram, MSG_DONTWAIT);
    /* Nobody listens in the container: the client finds out by itself. */
    if (n < 0 && errno == ECONNREFUSED) continue;
    if (n < 0) return;
    session->moved_at = now_ms();
    answer(session, (size_t)n);
  }
}
