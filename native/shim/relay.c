/*
 * Published ports whose clients the kernel cannot lead to the container: of IPv6 where the container has IPv4 only, or the
 * other way round, and the host's own ::1, to which no rule can answer. Bytes go to and fro between the client and where the
 * daemon has said, unread. This file has the ports and the connections; datagrams are in datagrams.c.
 */
#include "shim.h"

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MAX_FLOWS_BITS 11
#define MAX_FLOWS (1u << MAX_FLOWS_BITS)
#define BUFFER (16u << 10)
#define QUEUE 512
/* Rounds in which one connection is served before the others have their turn. */
#define ROUNDS 16

static struct relay relays[MAX_RELAYS];
static uint32_t relay_count, flow_count;

/* A connection: side 0 is the client, 1 the container. What comes from a side lies in that side's buffer. */
static struct flow {
  bool used, connected;
  uint32_t generation;
  int fds[2];
  uint32_t events[2];
  bool ended[2], shut[2];
  uint32_t from[2], to[2];
} flows[MAX_FLOWS];
static uint8_t buffers[MAX_FLOWS][2][BUFFER] __attribute__((aligned(4096)));
/* There was no place for whoever comes next. */
static bool full;

static void watch_relays(bool on) {
  for (uint32_t i = 0; i < relay_count; i++) rewatch(relays[i].fd, on ? EPOLLIN : 0, SOURCE_RELAY, i);
}

void relay_none(void) {
  for (uint32_t i = 0; i < relay_count; i++) unwatch(relays[i].fd);
  relay_count = 0;
  full = false;
  datagrams_end();
}

int relay_add(int fd, int protocol, const union any_address *target, socklen_t size) {
  if (relay_count == MAX_RELAYS) return -EMFILE;
  struct relay *relay = &relays[relay_count];
  *relay = (struct relay){.fd = fd, .protocol = protocol, .target = *target, .target_size = size};
  if (protocol == IPPROTO_UDP) datagrams_prepare(relay);
  /* The claim itself had no need of a long queue. */
  else listen(fd, QUEUE);
  int result = watch(fd, EPOLLIN, SOURCE_RELAY, relay_count);
  if (result == 0) relay_count++;
  return result;
}

void relay_forget(int fd) {
  for (uint32_t i = 0; i < relay_count; i++) {
    if (relays[i].fd == fd) relays[i].fd = -1;
  }
}

bool relay_has(int fd) {
  for (uint32_t i = 0; flow_count > 0 && i < MAX_FLOWS; i++) {
    if (flows[i].used && (flows[i].fds[0] == fd || flows[i].fds[1] == fd)) return true;
  }
  return datagrams_have(fd);
}

static uint32_t tag_of(const struct flow *flow, uint32_t side) {
  return flow->generation << (MAX_FLOWS_BITS + 1) | (uint32_t)(flow - flows) << 1 | side;
}

static void drop(struct flow *flow) {
  for (int side = 0; side < 2; side++) {
    if (flow->fds[side] >= 0) close(flow->fds[side]);
  }
  /* Its memory goes back to the kernel: a place may not be used again for long. */
  madvise(buffers[flow - flows], sizeof buffers[0], MADV_DONTNEED);
  flow->used = false;
  flow_count--;
  if (full) watch_relays(true);
  full = false;
}

void relay_end(void) {
  relay_none();
  for (uint32_t i = 0; i < MAX_FLOWS; i++) {
    if (flows[i].used) drop(&flows[i]);
  }
}

static void watch_sides(struct flow *flow) {
  for (uint32_t side = 0; side < 2; side++) {
    uint32_t wanted = 0;
    bool other_has = flow->from[!side] < flow->to[!side];
    if (flow->connected && !flow->ended[side] && flow->to[side] < BUFFER) wanted |= EPOLLIN;
    if (other_has || (side == 1 && !flow->connected)) wanted |= EPOLLOUT;
    if (wanted == flow->events[side]) continue;
    rewatch(flow->fds[side], wanted, SOURCE_FLOW, tag_of(flow, side));
    flow->events[side] = wanted;
  }
}

/* Takes what a side has sent as far as there is room: false when the connection has broken. */
static bool take(struct flow *flow, int side) {
  if (flow->ended[side] || flow->to[side] == BUFFER) return true;
  uint8_t *buffer = buffers[flow - flows][side];
  ssize_t n = recv(flow->fds[side], buffer + flow->to[side], BUFFER - flow->to[side], 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) flow->ended[side] = true;
  flow->to[side] += (uint32_t)n;
  return true;
}

/* Hands on what a side has sent, and that it has ended; false when the connection has broken. */
static bool give(struct flow *flow, int side) {
  if (flow->from[side] < flow->to[side]) {
    const uint8_t *buffer = buffers[flow - flows][side];
    ssize_t n = send(flow->fds[!side], buffer + flow->from[side], flow->to[side] - flow->from[side], MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    flow->from[side] += (uint32_t)n;
  }
  if (flow->from[side] < flow->to[side]) return true;
  flow->from[side] = flow->to[side] = 0;
  if (flow->ended[side] && !flow->shut[!side]) {
    flow->shut[!side] = true;
    return shutdown(flow->fds[!side], SHUT_WR) == 0;
  }
  return true;
}

static bool finish_connecting(struct flow *flow) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(flow->fds[1], SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) return false;
  flow->connected = true;
  return true;
}

void relay_flow_ready(uint32_t tag, uint32_t events) {
  struct flow *flow = &flows[(tag >> 1) & (MAX_FLOWS - 1)];
  uint32_t side = tag & 1;
  if (!flow->used || tag_of(flow, side) != tag) return;
  bool sound = (events & EPOLLERR) == 0;
  if (sound && !flow->connected) sound = side == 1 ? finish_connecting(flow) : (events & EPOLLHUP) == 0;
  /* Nothing comes from this side any more, and nothing can go there. */
  if (events & EPOLLHUP && flow->ended[side]) sound = false;
  for (int round = 0; sound && flow->connected && round < ROUNDS; round++) {
    uint32_t before = flow->to[0] + flow->to[1] + flow->from[0] + flow->from[1];
    sound = take(flow, 0) && take(flow, 1) && give(flow, 0) && give(flow, 1);
    if (before == flow->to[0] + flow->to[1] + flow->from[0] + flow->from[1]) break;
  }
  if (!sound || (flow->shut[0] && flow->shut[1])) {
    drop(flow);
    return;
  }
  watch_sides(flow);
}

static struct flow *free_flow(void) {
  for (uint32_t i = 0; i < MAX_FLOWS; i++) {
    if (!flows[i].used) return &flows[i];
  }
  return NULL;
}

/* Joins a client to the container; the client is closed where that cannot be. */
static void join(struct flow *flow, const struct relay *relay, int client) {
  int on = 1;
  int server = socket(relay->target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, relay->protocol);
  *flow = (struct flow){.used = true, .generation = flow->generation + 1, .fds = {client, server}};
  flow_count++;
  if (server < 0 || (connect(server, &relay->target.any, relay->target_size) < 0 && errno != EINPROGRESS) ||
      watch(client, 0, SOURCE_FLOW, tag_of(flow, 0)) < 0 || watch(server, 0, SOURCE_FLOW, tag_of(flow, 1)) < 0) {
    drop(flow);
    return;
  }
  if (relay->protocol == IPPROTO_TCP) {
    for (int side = 0; side < 2; side++) setsockopt(flow->fds[side], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  watch_sides(flow);
}

void relay_ready(uint32_t index) {
  if (index >= relay_count) return;
  const struct relay *relay = &relays[index];
  if (relay->protocol == IPPROTO_UDP) {
    datagrams_from_clients(relay);
    return;
  }
  for (int round = 0; round < ROUNDS; round++) {
    struct flow *flow = free_flow();
    int client = flow == NULL ? -1 : accept4(relay->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
      join(flow, relay, client);
      continue;
    }
    /* Whoever comes waits until somebody goes. */
    if (flow == NULL || errno == EMFILE || errno == ENFILE) {
      full = true;
      watch_relays(false);
    }
    return;
  }
}
