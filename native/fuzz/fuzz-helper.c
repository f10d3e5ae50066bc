/*
 * The helper's protocol: what comes on its socket, and what the kernel answers to it.
 *
 * An input is three parts, luck, content and one byte that says how what follows is cut into pieces, and the requests. When
 * the byte is 255 they are the arguments of a command (mount, bind, unmount) instead; when it is 254 there is a keeper, whose
 * answers are content.
 */
#define main helper_main
#include "../helper/main.c"
#undef main

#include "../fuzz/events.h"

const char harness_layout[] = "pp1R";
static struct bytes requests;
static uint8_t cut;
static bool kept;
static int client, before;
static bool allowed;

/* How much comes at once: a record, or bytes that may end in the middle of one. */
static size_t next_piece(void) {
  uint32_t length;
  if (cut != 0 || bytes_left(&requests) < WIRE_HEADER) return cut != 0 ? (size_t)cut * 7 : 1024;
  memcpy(&length, requests.at, 4);
  return length < 1u << 20 ? WIRE_HEADER + (size_t)length : 4096;
}

/* No request leaves descriptors behind but the one that it gives, or keeps for the next. */
static void count_descriptors(void) {
  int now = world_open_count();
  if (cut == 0 && !world.child && now - before > (allowed ? 1 : 0)) world_fault("a request leaves descriptors open");
  before = now;
}

int world_poll(struct pollfd *fds, nfds_t count, int timeout) {
  (void)timeout;
  count_descriptors();
  struct descriptor *it = &world.descriptors[client];
  uint16_t code = 0;
  if (bytes_left(&requests) >= WIRE_HEADER) memcpy(&code, requests.at + 4, 2);
  allowed = true;
  if (code == HELPER_SYSCTL || code == HELPER_MKNOD || code == HELPER_SPAWN || code == HELPER_GET_XATTRS || code == HELPER_READ_IN_ROOT ||
      code == HELPER_PROBE_MOUNT || code == HELPER_DEVICE_FILTER || code == HELPER_UNIX_DATAGRAM || code == HELPER_SECCOMP) {
    allowed = false;
  }
  it->in = take_bytes(&requests, next_piece());
  it->ends = bytes_left(&it->in) == 0;
  for (nfds_t i = 0; i < count; i++) fds[i].revents = 0;
  fds[0].revents = POLLIN;
  if (fds[2].fd >= 0) fds[2].revents = (short)(take_u8(&world.content) & 1);
  if (fds[3].fd >= 0 && bytes_left(&requests) == 0) fds[3].revents = POLLHUP;
  return 1;
}

static void run_server(void) {
  /* As main does it: the shim's program is open, and the signals. */
  int signals = world_new(FILE_KIND);
  keep_shim("/shim");
  client = world_new(SOCKET_KIND);
  world.descriptors[client].type = SOCK_STREAM;
  /* Its own network namespace is opened once, and stays. */
  static const uint8_t netns_new[8];
  struct answer first = {0};
  int failure = world.failure;
  world.failure = 0;
  handle_netns_new(&first, netns_new, sizeof netns_new);
  world_at((int)first.value)->kind = CLOSED;
  world.failure = failure;
  if (kept && serve_inside("/run/keeper") < 0) return;
  before = world_open_count();
  serve(client, signals);
}

static void run_command(void) {
  static char text[4096];
  char *args[16] = {"berth-helper"};
  int count = 1;
  struct bytes from = take_bytes(&requests, sizeof text - 1);
  memcpy(text, from.at, bytes_left(&from));
  text[bytes_left(&from)] = '\0';
  for (char *at = text; count < 15 && *at != '\0'; count++) {
    args[count] = at;
    at += strcspn(at, "\n");
    if (*at != '\0') *at++ = '\0';
  }
  run_once(count, args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  struct bytes luck = take_part(&input), content = take_part(&input);
  world_begin(luck, content);
  cut = take_u8(&input);
  kept = cut == 254;
  if (kept) cut = 0;
  requests = input;
  world_run(cut == 255 ? run_command : run_server);
  return 0;
}
