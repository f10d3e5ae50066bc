/*
 * The guard: its policy, and what a daemon that has been taken over may ask of it. Whatever that is, it gets no socket but of the
 * policy's addresses and ports, no owners but of its pool, and no descriptor stays open that nobody has.
 *
 * An input is three parts, luck, content and the policy (a record), and the events of poll (clients.c).
 */
#include <poll.h>

#include "../helper/guard.c"

#define main helper_main
#include "../helper/main.c"
#undef main

#include "../fuzz/events.h"

/* What the children of the guard have opened, by their word: user namespaces. */
#define OPENED 100
#define OPENED_COUNT 28

const char harness_layout[] = "pprE";
static bool served, open_before[DESCRIPTORS];

static bool is_bit_equal(const uint8_t *one, const uint8_t *other, uint32_t bit) {
  return ((one[bit / 8] ^ other[bit / 8]) >> (7 - bit % 8) & 1) == 0;
}

/* The policy's rule once more, as plainly as it can be said. */
static bool may_have(const struct descriptor *it) {
  union any_address network;
  const struct sockaddr_in *four = (const void *)&it->name;
  const struct sockaddr_in6 *six = (const void *)&it->name;
  bool is_four = it->family == AF_INET, found = false;
  const uint8_t *own = is_four ? (const uint8_t *)&four->sin_addr : (const uint8_t *)&six->sin6_addr;
  struct wire_list networks = policy.addresses, prefixes = policy.prefixes, ports = policy.ports;
  for (uint32_t i = 0; i < policy.addresses.count; i++) {
    const char *text = wire_next_str(&networks);
    uint32_t bits = wire_next_u32(&prefixes), same = 0;
    if (parse_address(&network, (uint32_t)it->family, text, 0) == 0) continue;
    const uint8_t *its = is_four ? (const uint8_t *)&network.v4.sin_addr : (const uint8_t *)&network.v6.sin6_addr;
    while (same < bits && same < (is_four ? 32 : 128) && is_bit_equal(own, its, same)) same++;
    found = found || same == bits;
  }
  if (!found) return false;
  uint32_t port = ntohs(is_four ? four->sin_port : six->sin6_port);
  for (uint32_t i = 0; i < policy.ports.count / 2; i++) {
    uint32_t first = wire_next_u32(&ports), last = wire_next_u32(&ports);
    if (first <= port && port <= last) return true;
  }
  return false;
}

static bool is_owners(int fd) {
  for (unsigned i = 0; i < owners_count; i++) {
    if (owners[i].fd == fd && !owners[i].host) return true;
  }
  return false;
}

/* Each descriptor that goes out to a client. */
static void check_answer(const struct msghdr *message) {
  int fds[KEPT];
  if (message->msg_controllen == 0) return;
  const struct cmsghdr *head = message->msg_control;
  unsigned count = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  memcpy(fds, CMSG_DATA(head), count * sizeof(int));
  for (unsigned i = 0; i < count; i++) {
    const struct descriptor *it = world_get(fds[i]);
    if (it == NULL) continue;
    if (it->kind == SOCKET_KIND && !may_have(it)) world_fault("a socket that the policy does not have");
    if (it->kind == SOCKET_KIND && it->type == SOCK_RAW) world_fault("a raw socket");
  }
}

/* Of each container's owners the ids are the pool's. */
static void check_owners(void) {
  for (unsigned i = 0; i < owners_count; i++) {
    if (!is_of_pool(policy.pool_uids, owners[i].uid)) world_fault("owners that are not of the pool");
    if (owners[i].uid > UINT32_MAX - RANGE) world_fault("owners beyond all ids");
  }
}

static void check_descriptors(const struct pollfd *fds, unsigned long count) {
  if (world.child) return;
  if (!served) {
    for (int fd = 0; fd < DESCRIPTORS; fd++) open_before[fd] = world.descriptors[fd].kind != CLOSED;
  }
  served = true;
  check_owners();
  for (int fd = 0; fd < world.high; fd++) {
    bool known = world.descriptors[fd].kind == CLOSED || open_before[fd] || is_owners(fd);
    for (unsigned long i = 0; i < count && !known; i++) known = fds[i].fd == fd;
    for (unsigned i = 0; i < owners_count && !known; i++) known = owners[i].fd == fd;
    if (!known) world_fault("a request leaves a descriptor open");
  }
}

static void guard(void) {
  char name[] = "berth-helper", command[] = "guard", path[] = "/run/guard";
  char *args[] = {name, command, path, NULL};
  helper_main(3, args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  struct bytes luck = take_part(&input), content = take_part(&input);
  world_begin(luck, content);
  world.descriptors[0].in = take_part(&input);
  world.descriptors[0].watched = world.descriptors[0].ends = true;
  for (int i = 0; i < OPENED_COUNT; i++) *world_at(OPENED + i) = (struct descriptor){.kind = FILE_KIND, .ino = 1000 + (uint64_t)i};
  events_left = input;
  served = false;
  message_sent = check_answer;
  before_poll = check_descriptors;
  world_run(guard);
  return 0;
}
