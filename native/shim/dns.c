/*
 * The container's resolver: questions that arrive at its sockets go to the daemon, and to the host's resolvers while there
 * is none. Nothing is interpreted but the two bytes of the message's id.
 */
#include "shim.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MESSAGE_MAX 65535u
#define MAX_ASKERS 512
#define MAX_CLIENTS 16
#define EXPIRY_MS 6000

/* Who is to get the answer. */
static struct asker {
  bool used, tcp;
  uint32_t id;
  uint64_t since;
  uint32_t client;
  uint32_t client_generation;
  uint8_t original[2];
  struct sockaddr_in address;
} askers[MAX_ASKERS];

static struct client {
  int fd;
  bool used;
  uint32_t generation;
  size_t received;
  uint8_t buffer[2 + 4096];
} clients[MAX_CLIENTS];

static int udp_fd = -1, tcp_fd = -1, upstream_fd = -1;
static struct wire_list upstreams;
static uint32_t next_id = 1;
static uint8_t message_buffer[64 + MESSAGE_MAX];

void dns_adopt(int fd, bool tcp) {
  if (tcp) tcp_fd = fd;
  else udp_fd = fd;
  watch(fd, EPOLLIN, tcp ? SOURCE_DNS_TCP : SOURCE_DNS_UDP, 0);
}

bool dns_has(int fd) {
  for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].used && clients[i].fd == fd) return true;
  }
  return fd == udp_fd || fd == tcp_fd || fd == upstream_fd;
}

void dns_upstreams(struct wire_list list) { upstreams = list; }

static struct asker *remember(void) {
  struct asker *asker = &askers[next_id % MAX_ASKERS];
  if (asker->used && now_ms() - asker->since < EXPIRY_MS) return NULL;
  *asker = (struct asker){.used = true, .id = next_id, .since = now_ms()};
  next_id = next_id == UINT32_MAX ? 1 : next_id + 1;
  return asker;
}

/* Without a daemon: to every resolver that the plan names; the first answer wins. */
static void ask_upstreams(struct asker *asker, uint8_t *message, size_t length) {
  if (upstream_fd < 0) {
    upstream_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (upstream_fd < 0) return;
    watch(upstream_fd, EPOLLIN, SOURCE_DNS_UPSTREAM, 0);
  }
  memcpy(asker->original, message, 2);
  message[0] = (uint8_t)(asker->id >> 8);
  message[1] = (uint8_t)asker->id;
  struct wire_list list = upstreams;
  for (uint32_t i = 0; i < upstreams.count; i++) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    if (inet_pton(AF_INET, wire_next_str(&list), &to.sin_addr) != 1) continue;
    sendto(upstream_fd, message, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
  }
}

static void ask(struct asker *asker, uint8_t *message, size_t length) {
  struct connection *control = latest_control();
  if (control == NULL) {
    ask_upstreams(asker, message, length);
    return;
  }
  static uint8_t frame[64 + MESSAGE_MAX];
  struct wire_writer w = wire_begin(frame, sizeof frame, SHIM_DNS_QUERY);
  wire_put_u32(&w, asker->id);
  wire_put_u32(&w, asker->tcp);
  wire_put_bytes(&w, message, length);
  size_t size = wire_end(&w);
  if (size > 0) send_bytes(control, frame, size);
}

void dns_udp_ready(void) {
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  ssize_t n = recvfrom(udp_fd, message_buffer, MESSAGE_MAX, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (n < 12) return;
  struct asker *asker = remember();
  if (asker == NULL) return;
  asker->address = from;
  ask(asker, message_buffer, (size_t)n);
}

void dns_tcp_ready(void) {
  int fd = accept4(tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
    if (clients[i].used) continue;
    clients[i].used = true;
    clients[i].fd = fd;
    clients[i].generation++;
    clients[i].received = 0;
    if (watch(fd, EPOLLIN, SOURCE_DNS_CLIENT, i) == 0) return;
    clients[i].used = false;
    break;
  }
  close(fd);
}

static void drop_client(struct client *client) {
  unwatch(client->fd);
  close(client->fd);
  client->used = false;
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
  if (client->received < 2) return;
  size_t length = (size_t)client->buffer[0] << 8 | client->buffer[1];
  if (length < 12 || length > sizeof client->buffer - 2) {
    drop_client(client);
    return;
  }
  if (client->received < 2 + length) return;
  struct asker *asker = remember();
  if (asker == NULL) {
    drop_client(client);
    return;
  }
  asker->tcp = true;
  asker->client = index;
  asker->client_generation = client->generation;
  memcpy(message_buffer, client->buffer + 2, length);
  client->received -= 2 + length;
  memmove(client->buffer, client->buffer + 2 + length, client->received);
  ask(asker, message_buffer, length);
}

static void answer(struct asker *asker, const uint8_t *message, size_t length) {
  asker->used = false;
  if (length < 12 || length > MESSAGE_MAX) return;
  if (!asker->tcp) {
    sendto(udp_fd, message, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&asker->address, sizeof asker->address);
    return;
  }
  struct client *client = &clients[asker->client];
  if (!client->used || client->generation != asker->client_generation) return;
  static uint8_t framed[2 + MESSAGE_MAX];
  framed[0] = (uint8_t)(length >> 8);
  framed[1] = (uint8_t)length;
  memcpy(framed + 2, message, length);
  if (send(client->fd, framed, 2 + length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(2 + length)) drop_client(client);
}

void dns_answered(uint32_t id, struct wire_bytes message) {
  struct asker *asker = &askers[id % MAX_ASKERS];
  if (asker->used && asker->id == id) answer(asker, message.data, message.length);
}

void dns_upstream_ready(void) {
  ssize_t n = recv(upstream_fd, message_buffer, MESSAGE_MAX, MSG_DONTWAIT);
  if (n < 12) return;
  uint32_t low = (uint32_t)message_buffer[0] << 8 | message_buffer[1];
  struct asker *asker = &askers[low % MAX_ASKERS];
  if (!asker->used || (asker->id & 0xffff) != low) return;
  memcpy(message_buffer, asker->original, 2);
  answer(asker, message_buffer, (size_t)n);
}
