/*
 * The container's resolver: questions that arrive at its sockets go to the daemon, and to the host's resolvers while there
 * is none. Nothing is interpreted but the header. Questions and answers travel in batches, and what the daemon has no room
 * for stays in the kernel's buffer: a question that has been taken has a place.
 */
#include "shim.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define HEADER 12
#define QUESTION_MAX 4096u /* longer ones are dropped */
#define QUESTION_FRAME (QUESTION_MAX + 64u)
#define ANSWER_MAX 65535u
#define BATCH 16
/* Bytes of questions that may wait, as the kernel counts them. */
#define BUFFER (1 << 20)
#define MAX_ASKERS 1024u
#define MAX_CLIENTS 32
#define EXPIRY_MS 6000

/* Who is to get the answer. */
static struct asker {
  bool used, tcp;
  uint32_t id; /* its place is this modulo MAX_ASKERS */
  uint64_t since;
  uint32_t client;
  uint32_t client_generation;
  struct sockaddr_in address;
  /* Of a question to upstreams: the id that they know, the asker's own, and how many have not answered. */
  uint32_t waits;
  uint16_t wire_id;
  uint8_t original[2];
} askers[MAX_ASKERS];

static struct client {
  int fd;
  bool used;
  uint32_t generation;
  uint64_t moved_at;
  size_t received;
  uint8_t buffer[2 + QUESTION_MAX];
} clients[MAX_CLIENTS];

static int udp_fd = -1, tcp_fd = -1;
/* By family, IPv6 second. */
static int upstream_fds[2] = {-1, -1};
static struct wire_list upstreams;
static uint32_t asked, last_id;
static bool paused;
static uint8_t questions[BATCH][QUESTION_MAX];
static uint8_t upstream_answer[ANSWER_MAX];

/* Answers that go out together; they lie where they have arrived. */
static struct mmsghdr outgoing[BATCH];
static struct iovec outgoing_data[BATCH];
static struct sockaddr_in outgoing_to[BATCH];
static unsigned outgoing_count;

void dns_adopt(int fd, bool tcp) {
  if (tcp) tcp_fd = fd;
  else udp_fd = fd;
  /* Here, since whoever has made it in a user namespace has no right to that. */
  if (!tcp) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){BUFFER}, sizeof(int));
  watch(fd, EPOLLIN, tcp ? SOURCE_DNS_TCP : SOURCE_DNS_UDP, 0);
}

bool dns_has(int fd) {
  for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].used && clients[i].fd == fd) return true;
  }
  return fd == udp_fd || fd == tcp_fd || fd == upstream_fds[0] || fd == upstream_fds[1];
}

void dns_upstreams(struct wire_list list) { upstreams = list; }

static void forget(struct asker *asker) {
  asker->used = false;
  asked--;
}

void dns_daemon_gone(void) {
  /* Nobody answers these any more; whoever has asked asks again. */
  for (uint32_t i = 0; i < MAX_ASKERS; i++) {
    if (askers[i].used && askers[i].waits == 0) forget(&askers[i]);
  }
}

/* Of questions to upstreams some are never answered; the daemon answers each of its own. */
static void expire(void) {
  uint64_t now = now_ms();
  for (uint32_t i = 0; i < MAX_ASKERS; i++) {
    if (askers[i].used && askers[i].waits > 0 && now - askers[i].since >= EXPIRY_MS) forget(&askers[i]);
  }
}

/* How many questions there is room for. */
static uint32_t capacity(void) {
  struct connection *control = latest_control();
  /* Without a daemon the oldest makes room. */
  if (control == NULL) return BATCH;
  if (asked == MAX_ASKERS) expire();
  uint32_t places = MAX_ASKERS - asked;
  size_t room = room_for_output(control) / QUESTION_FRAME;
  return room < places ? (uint32_t)room : places;
}

static struct asker *remember(void) {
  if (asked == MAX_ASKERS) {
    struct asker *oldest = &askers[0];
    for (uint32_t i = 1; i < MAX_ASKERS; i++) {
      if (askers[i].since < oldest->since) oldest = &askers[i];
    }
    forget(oldest);
  }
  do last_id++;
  while (askers[last_id % MAX_ASKERS].used);
  struct asker *asker = &askers[last_id % MAX_ASKERS];
  *asker = (struct asker){.used = true, .id = last_id, .since = now_ms()};
  asked++;
  return asker;
}

/* Reads an upstream's address; gives its length, or 0. */
static socklen_t upstream_address(const char *text, struct sockaddr_storage *out) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(53)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &four.sin_addr) == 1) return memcpy(out, &four, sizeof four), sizeof four;
  if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1) return memcpy(out, &six, sizeof six), sizeof six;
  return 0;
}

static int upstream_socket(int family) {
  uint32_t index = family == AF_INET6;
  if (upstream_fds[index] < 0) {
    upstream_fds[index] = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (upstream_fds[index] >= 0) watch(upstream_fds[index], EPOLLIN, SOURCE_DNS_UPSTREAM, index);
  }
  return upstream_fds[index];
}

static struct asker *waiting_as(uint16_t wire_id) {
  for (uint32_t i = 0; i < MAX_ASKERS; i++) {
    if (askers[i].used && askers[i].waits > 0 && askers[i].wire_id == wire_id) return &askers[i];
  }
  return NULL;
}

static void answer(struct asker *asker, const uint8_t *message, size_t length);

/* Without a daemon: what it has left, or else to every resolver that the plan names. What nobody can be asked is forgotten. */
static void ask_others(struct asker *asker, uint8_t *message, size_t length) {
  size_t kept_length;
  const uint8_t *kept = names_answer(message, length, &kept_length);
  if (kept != NULL) {
    answer(asker, kept, kept_length);
    dns_flush();
    return;
  }
  uint16_t wire_id;
  do {
    if (getrandom(&wire_id, sizeof wire_id, GRND_NONBLOCK) != sizeof wire_id) wire_id = (uint16_t)(asker->id * 40503u);
  } while (waiting_as(wire_id) != NULL);
  asker->wire_id = wire_id;
  memcpy(asker->original, message, 2);
  memcpy(message, &wire_id, 2);
  struct wire_list list = upstreams;
  for (uint32_t i = 0; i < upstreams.count; i++) {
    struct sockaddr_storage to;
    socklen_t size = upstream_address(wire_next_str(&list), &to);
    int fd = size > 0 ? upstream_socket(to.ss_family) : -1;
    if (fd < 0) continue;
    if (sendto(fd, message, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size) >= 0) asker->waits++;
  }
  if (asker->waits == 0) forget(asker);
}

void dns_udp_ready(void) {
  static uint8_t frames[BATCH * QUESTION_FRAME];
  struct mmsghdr messages[BATCH] = {0};
  struct iovec data[BATCH];
  struct sockaddr_in from[BATCH];
  uint32_t room = capacity();
  if (room == 0) {
    paused = true;
    rewatch(udp_fd, 0, SOURCE_DNS_UDP, 0);
    return;
  }
  for (int i = 0; i < BATCH; i++) {
    data[i] = (struct iovec){questions[i], QUESTION_MAX};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &data[i], .msg_iovlen = 1, .msg_name = &from[i], .msg_namelen = sizeof from[i]};
  }
  int count = recvmmsg(udp_fd, messages, room < BATCH ? room : BATCH, MSG_DONTWAIT, NULL);
  struct connection *control = latest_control();
  size_t length = 0;
  for (int i = 0; i < count; i++) {
    if (messages[i].msg_len < HEADER || messages[i].msg_hdr.msg_flags & MSG_TRUNC) continue;
    struct asker *asker = remember();
    asker->address = from[i];
    if (control == NULL) {
      ask_others(asker, questions[i], messages[i].msg_len);
      continue;
    }
    struct wire_writer w = wire_begin(frames + length, QUESTION_FRAME, SHIM_DNS_QUERY);
    wire_put_u32(&w, asker->id);
    wire_put_u32(&w, 0);
    wire_put_bytes(&w, questions[i], messages[i].msg_len);
    length += wire_end(&w);
  }
  if (length > 0) send_bytes(control, frames, length);
}

void dns_resume(void) {
  if (!paused || capacity() == 0) return;
  paused = false;
  rewatch(udp_fd, EPOLLIN, SOURCE_DNS_UDP, 0);
}

static void drop_client(struct client *client) {
  unwatch(client->fd);
  close(client->fd);
  client->used = false;
}

/* Where there is no place left, whoever has been silent for longest goes. */
static struct client *place_for_client(void) {
  struct client *found = &clients[0];
  for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
    if (!clients[i].used) return &clients[i];
    if (clients[i].moved_at < found->moved_at) found = &clients[i];
  }
  drop_client(found);
  return found;
}

static bool accept_client(void) {
  int fd = accept4(tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return false;
  struct client *client = place_for_client();
  client->used = true;
  client->fd = fd;
  client->generation++;
  client->received = 0;
  client->moved_at = now_ms();
  if (watch(fd, EPOLLIN, SOURCE_DNS_CLIENT, (uint32_t)(client - clients)) < 0) {
    client->used = false;
    close(fd);
  }
  return true;
}

void dns_tcp_ready(void) {
  for (int i = 0; i < BATCH && accept_client(); i++) {
  }
}

/* Asks the first question of a client's buffer and takes it out; false when there is none, or when it is dropped. */
static bool ask_for_client(struct client *client) {
  static uint8_t frame[QUESTION_FRAME];
  if (client->received < 2) return false;
  size_t length = (size_t)client->buffer[0] << 8 | client->buffer[1];
  if (length < HEADER || length > QUESTION_MAX || capacity() == 0) {
    drop_client(client);
    return false;
  }
  if (client->received < 2 + length) return false;
  struct asker *asker = remember();
  asker->tcp = true;
  asker->client = (uint32_t)(client - clients);
  asker->client_generation = client->generation;
  struct connection *control = latest_control();
  if (control == NULL) {
    ask_others(asker, client->buffer + 2, length);
  } else {
    struct wire_writer w = wire_begin(frame, sizeof frame, SHIM_DNS_QUERY);
    wire_put_u32(&w, asker->id);
    wire_put_u32(&w, 1);
    wire_put_bytes(&w, client->buffer + 2, length);
    send_bytes(control, frame, wire_end(&w));
  }
  client->received -= 2 + length;
  memmove(client->buffer, client->buffer + 2 + length, client->received);
  return true;
}

void dns_client_ready(uint32_t index) {
  struct client *client = &clients[index];
  if (!client->used) return;
  ssize_t n = recv(client->fd, client->buffer + client->received, sizeof client->buffer - client->received, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    drop_client(client);
    return;
  }
  client->received += (size_t)n;
  client->moved_at = now_ms();
  while (ask_for_client(client)) {
  }
}

void dns_flush(void) {
  unsigned sent = 0;
  while (sent < outgoing_count) {
    int n = sendmmsg(udp_fd, outgoing + sent, outgoing_count - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    /* Nobody may be there any more for the first of them. */
    sent += n > 0 ? (unsigned)n : 1;
  }
  outgoing_count = 0;
}

static void answer_by_tcp(const struct asker *asker, const uint8_t *message, size_t length) {
  static uint8_t framed[2 + ANSWER_MAX];
  struct client *client = &clients[asker->client];
  if (!client->used || client->generation != asker->client_generation) return;
  framed[0] = (uint8_t)(length >> 8);
  framed[1] = (uint8_t)length;
  memcpy(framed + 2, message, length);
  client->moved_at = now_ms();
  if (send(client->fd, framed, 2 + length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(2 + length)) drop_client(client);
}

/* The message has to stay where it is until dns_flush. */
static void answer(struct asker *asker, const uint8_t *message, size_t length) {
  forget(asker);
  if (length < HEADER || length > ANSWER_MAX) return;
  if (asker->tcp) {
    answer_by_tcp(asker, message, length);
    return;
  }
  unsigned i = outgoing_count++;
  outgoing_to[i] = asker->address;
  outgoing_data[i] = (struct iovec){(uint8_t *)message, length};
  outgoing[i].msg_hdr = (struct msghdr){
      .msg_iov = &outgoing_data[i], .msg_iovlen = 1, .msg_name = &outgoing_to[i], .msg_namelen = sizeof outgoing_to[i]};
  if (outgoing_count == BATCH) dns_flush();
}

void dns_answered(uint32_t id, struct wire_bytes message) {
  struct asker *asker = &askers[id % MAX_ASKERS];
  if (asker->used && asker->waits == 0 && asker->id == id) answer(asker, message.data, message.length);
}

/* Whether an answer is from one that has been asked. */
static bool is_upstream(const struct sockaddr_storage *from, socklen_t size) {
  struct wire_list list = upstreams;
  for (uint32_t i = 0; i < upstreams.count; i++) {
    struct sockaddr_storage known;
    socklen_t known_size = upstream_address(wire_next_str(&list), &known);
    if (known_size == 0 || known_size > size || known.ss_family != from->ss_family) continue;
    const struct sockaddr_in *a = (const struct sockaddr_in *)&known, *b = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *c = (const struct sockaddr_in6 *)&known, *d = (const struct sockaddr_in6 *)from;
    bool same = known.ss_family == AF_INET ? a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port
                                           : memcmp(&c->sin6_addr, &d->sin6_addr, 16) == 0 && c->sin6_port == d->sin6_port;
    if (same) return true;
  }
  return false;
}

void dns_upstream_ready(uint32_t index) {
  struct sockaddr_storage from = {0};
  socklen_t size = sizeof from;
  ssize_t n = recvfrom(upstream_fds[index], upstream_answer, sizeof upstream_answer, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (n < HEADER || !is_upstream(&from, size) || !(upstream_answer[2] & 0x80)) return;
  uint16_t wire_id;
  memcpy(&wire_id, upstream_answer, 2);
  struct asker *asker = waiting_as(wire_id);
  if (asker == NULL) return;
  /* A failure counts when no other can do better. */
  bool failure = (upstream_answer[3] & 15) == 2 || (upstream_answer[3] & 15) == 5;
  if (failure && --asker->waits > 0) return;
  memcpy(upstream_answer, asker->original, 2);
  answer(asker, upstream_answer, (size_t)n);
  dns_flush();
}
