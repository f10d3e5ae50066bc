/*
 * What the helper is started as: a keeper and whoever joins it, sockets for a daemon, a program that is confined, a server, a
 * single mount.
 *
 * An input is four parts, luck, content, the arguments (a line each) and standard input, and the events of poll (clients.c).
 */
#define main helper_main
#include "../helper/main.c"
#undef main

#include "../fuzz/events.h"

const char harness_layout[] = "ppppE";
static struct bytes words;

static void command(void) {
  static char text[4096];
  static char *args[64];
  int count = 1;
  struct bytes from = take_bytes(&words, sizeof text - 1);
  if (bytes_left(&from) > 0) memcpy(text, from.at, bytes_left(&from));
  text[bytes_left(&from)] = '\0';
  args[0] = text + bytes_left(&from);
  for (char *at = text; count < 63 && *at != '\0'; count++) {
    args[count] = at;
    at += strcspn(at, "\n");
    if (*at != '\0') *at++ = '\0';
  }
  args[count] = NULL;
  helper_main(count, args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  struct bytes luck = take_part(&input), content = take_part(&input);
  world_begin(luck, content);
  words = take_part(&input);
  world.descriptors[0].in = take_part(&input);
  world.descriptors[0].watched = world.descriptors[0].ends = true;
  events_left = input;
  world_run(command);
  return 0;
}
