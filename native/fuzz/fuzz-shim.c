/*
 * The shim's whole life: its socket's protocol, reports of its children, output and input, the resolver, claimed and relayed
 * ports, the log.
 *
 * An input is three parts, luck, content and the plan, and the events (sockets.c).
 */
#include "../shim/shim.h"

#include <stdlib.h>

#include "events.h"

const char harness_layout[] = "pprE";
static struct bytes plan_bytes;

static void live(void) {
  struct shim_plan plan;
  ports_begin();
  size_t length = bytes_left(&plan_bytes);
  if (read_shim_plan(&plan, plan_bytes.at, length) < 0) return;
  supervise(&plan, plan_bytes.at, length, "/run");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  struct bytes luck = take_part(&input), content = take_part(&input);
  world_begin(luck, content);
  plan_bytes = take_part(&input);
  world.strict = true;
  *world_at(LISTENER_FD) = (struct descriptor){.kind = SOCKET_KIND, .family = AF_UNIX, .type = SOCK_STREAM};
  /* Two ports are claimed. */
  *world_at(10) = (struct descriptor){.kind = SOCKET_KIND, .family = AF_INET, .type = SOCK_STREAM, .protocol = 6};
  *world_at(11) = (struct descriptor){.kind = SOCKET_KIND, .family = AF_INET6, .type = SOCK_DGRAM, .protocol = 17};
  events_left = input;
  report_size = sizeof(struct report);
  world_run(live);
  return 0;
}
