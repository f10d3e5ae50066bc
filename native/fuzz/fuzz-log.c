/*
 * The log: what a container writes becomes lines of JSON from which the same bytes can be read again.
 *
 * An input is a part luck, one byte of options, a part with the attributes, and pieces of output: u8 stream and what else
 * happens, a part (bytes). Without bad luck every record must be a whole line that says what was written.
 */
#include "../shim/shim.h"

#include <stdlib.h>

#include "events.h"

#define DISK (4u << 20)
#define OUTPUT (1u << 20)

const char harness_layout[] = "p1pE";
static struct bytes input_left;
static struct op_log settings;
static uint8_t options;
static uint8_t written[2][OUTPUT], logged[2][OUTPUT];
static size_t written_size[2], logged_size[2];
static char attributes[256];

static void write_output(void) {
  if (log_open(&settings) < 0) return;
  while (bytes_left(&input_left) >= 5) {
    uint8_t how = take_u8(&input_left);
    take_u16(&input_left);
    struct bytes text = take_part(&input_left);
    size_t length = bytes_left(&text);
    int stream = how & 1;
    log_output(stream, text.at, length);
    if (length <= OUTPUT - written_size[stream]) memcpy(written[stream] + written_size[stream], text.at, length);
    written_size[stream] += length;
    if (how & 2) log_flush();
    if (how & 4) log_swap(how, "/compressed");
    if (how & 8) world.now += 1000000000u;
    if (how & 16) log_on_time(now_ms(), false);
    if (how & 32) log_notified();
    if (how & 64) {
      /* The writer has been killed; what comes next may be the new one's work. */
      world.has_ended[0] = true;
      log_reap();
    }
  }
  /* A ring is drained by a process that is not there. */
  for (int rounds = 0; log_close(now_ms()) > 0 && rounds < 3; rounds++) world.now += 2000000000u;
}

/* The bytes of a JSON text up to its quote, as they were before they were escaped; replaced ones are 0xff. */
static const uint8_t *unescape(const uint8_t *at, const uint8_t *end, uint8_t *to, size_t *length) {
  for (; at < end && *at != '"'; at++) {
    if (*at < 0x20) world_fault("a control character in a record");
    if (*at != '\\') {
      to[(*length)++] = *at;
      continue;
    }
    if (++at == end) break;
    static const char names[] = "nrt\"\\", meanings[] = "\n\r\t\"\\";
    const char *name = *at != 0 ? strchr(names, *at) : NULL;
    if (name != NULL) {
      to[(*length)++] = (uint8_t)meanings[name - names];
      continue;
    }
    char digits[5] = {0};
    if (*at != 'u' || end - at < 5) world_fault("an escape that JSON does not know");
    memcpy(digits, at + 1, 4);
    unsigned long value = strtoul(digits, NULL, 16);
    at += 4;
    if (value == 0xfffd) {
      to[(*length)++] = 0xff;
    } else if (value >= 0x2028) {
      memcpy(to + *length, value == 0x2028 ? "\xe2\x80\xa8" : "\xe2\x80\xa9", 3);
      *length += 3;
    } else {
      to[(*length)++] = (uint8_t)value;
    }
  }
  return at;
}

static void read_record(const uint8_t *line, const uint8_t *end) {
  static uint8_t text[OUTPUT];
  size_t length = 0;
  if (end - line < 8 || memcmp(line, "{\"log\":\"", 8) != 0) world_fault("a record that does not begin as one");
  const uint8_t *at = unescape(line + 8, end, text, &length);
  static const char out[] = "\",\"stream\":\"stdout\"", err[] = "\",\"stream\":\"stderr\"";
  int stream = (size_t)(end - at) > sizeof err && memcmp(at, err, sizeof err - 1) == 0;
  if (!stream && ((size_t)(end - at) <= sizeof out || memcmp(at, out, sizeof out - 1) != 0)) world_fault("a record of no stream");
  if (end[-1] != '}') world_fault("a record that does not end as one");
  if (length > OUTPUT - logged_size[stream]) return;
  memcpy(logged[stream] + logged_size[stream], text, length);
  logged_size[stream] += length;
}

static void compare(void) {
  const uint8_t *at = world.disk, *end = at + world.disk_used;
  while (at < end) {
    const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
    if (newline == NULL) world_fault("a record that is torn");
    read_record(at, newline);
    at = newline + 1;
  }
  for (int stream = 0; stream < 2; stream++) {
    if (written_size[stream] > OUTPUT) return;
    if (logged_size[stream] != written_size[stream]) world_fault("the log has another length than what was written");
    for (size_t i = 0; i < written_size[stream]; i++) {
      uint8_t was = written[stream][i], is = logged[stream][i];
      if (was != is && (is != 0xff || was < 0x80)) world_fault("the log says something else than what was written");
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes input = {data, data + size};
  if (size == 0) return 0;
  if (world.disk == NULL) world.disk = calloc(1, world.disk_size = DISK);
  struct bytes luck = take_part(&input), none = {data, data};
  bool lucky = bytes_left(&luck) == 0;
  world_begin(luck, none);
  world.strict = true;
  /* The writer closes the shim's listener when it has no file in its place. */
  *world_at(LISTENER_FD) = (struct descriptor){.kind = SOCKET_KIND};
  options = take_u8(&input);
  struct bytes attrs = take_part(&input);
  size_t length = bytes_left(&attrs) < sizeof attributes - 1 ? bytes_left(&attrs) : sizeof attributes - 1;
  for (size_t i = 0; i < length; i++) attributes[i] = (char)(attrs.at[i] % 26 + 'a');
  settings = (struct op_log){.path = "/log", .attrs = attributes, .max_size = (uint64_t)(options & 3) * 5000, .max_files = options >> 2 & 3,
                             .ring = options & 16 ? 1u << 17 : 0, .options = options & 32 ? WIRE_LOG_COMPRESSED : 0};
  input_left = input;
  if (world_run(write_output) && lucky && settings.ring == 0) compare();
  return 0;
}
