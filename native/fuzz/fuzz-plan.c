/*
 * Launch plans, as the shim reads them and as its children carry them out.
 *
 * An input is two parts, luck and content, one byte that says who carries it out, and the plan.
 */
#include "../shim/shim.h"

#include <stdlib.h>

#include "world.h"

const char harness_layout[] = "pp1R";
static uint8_t role, *plan;
static size_t plan_length;

static void carry_out_plan(void) {
  struct shim_plan read;
  int status = world_new(SOCKET_KIND);
  if (role & 1 && read_shim_plan(&read, plan, plan_length) < 0) return;
  if (role & 2) server_open();
  if (role & 1 && role & 4) server_start(&read.server);
  if (role & 8 && run_outside(plan, plan_length, status) < 0) return;
  run_plan(plan, plan_length, status, role & 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  struct bytes luck = take_part(&input), content = take_part(&input);
  world_begin(luck, content);
  role = take_u8(&input);
  plan_length = bytes_left(&input);
  uint8_t *exact = malloc(plan_length > 0 ? plan_length : 1);
  memcpy(exact, input.at, plan_length);
  plan = exact;
  world_run(carry_out_plan);
  free(exact);
  return 0;
}
