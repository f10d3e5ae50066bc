/*
 * The json-file log: one JSON object a line, as Docker writes and others read it, escaped as Go's encoding/json does with
 * HTML escaping on. Records are collected and written whole, many at a time, so that a kill tears at most the last one.
 */
#include "shim.h"

#include <stdio.h>
#include <time.h>

#define LINE_MAX_BYTES 16384
#define BUFFER_SIZE (256u << 10)
/* The daemon is told of lost records this often at most. */
#define TELL_MS 1000
/* A record at its longest: each byte escaped to six, and the frame around it; its attributes come on top. */
#define RECORD_MAX (LINE_MAX_BYTES * 6 + 128)
#define TAIL_MAX (64 + WIRE_LOG_ATTRS_MAX)
#define SHORT_TAIL 32

static struct {
  bool open, ring, compressed;
  /* Lost in this run, and what of that a daemon has been told. */
  uint64_t dropped, failed, told[2], told_at;
  size_t buffered, limit;
  uint32_t records;
  size_t partial_length[2];
  /* What stands between a record's text and its time: stream and attributes. */
  size_t tail_length[2];
  char tail[2][TAIL_MAX];
  uint8_t partial[2][LINE_MAX_BYTES];
  uint8_t buffer[BUFFER_SIZE + WIRE_LOG_ATTRS_MAX];
} out;

int log_open(const struct op_log *log) {
  if (strlen(log->attrs) > WIRE_LOG_ATTRS_MAX) return -E2BIG;
  for (int i = 0; i < 2; i++) {
    out.tail_length[i] = (size_t)snprintf(out.tail[i], TAIL_MAX, "\",\"stream\":\"%s\"%s%s,\"time\":\"", i == 0 ? "stdout" : "stderr",
                                          *log->attrs ? ",\"attrs\":" : "", log->attrs);
  }
  out.limit = log->max_size > 0 && log->max_size < BUFFER_SIZE - RECORD_MAX ? log->max_size : BUFFER_SIZE - RECORD_MAX;
  out.ring = log->ring > 0;
  out.compressed = log->options & WIRE_LOG_COMPRESSED;
  int result = logfile_open(log);
  if (result == 0 && out.ring) {
    result = ring_open(log->ring, RECORD_MAX + strlen(log->attrs), out.limit, out.buffer);
  }
  out.open = result == 0;
  return result;
}

static size_t put_time(uint8_t *to) {
  static time_t second = -1;
  static char text[32];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != second) {
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    second = now.tv_sec;
  }
  memcpy(to, text, 19);
  to[19] = '.';
  uint32_t ns = (uint32_t)now.tv_nsec;
  for (int i = 28; i > 19; i--, ns /= 10) to[i] = (uint8_t)('0' + ns % 10);
  to[29] = 'Z';
  return 30;
}

/* The length of the valid UTF-8 sequence at p, or 0. */
static size_t utf8_length(const uint8_t *p, size_t left) {
  uint8_t c = p[0];
  size_t n = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
  if (n == 0 || n > left) return 0;
  for (size_t i = 1; i < n; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
  }
  bool bad = (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f);
  return bad ? 0 : n;
}

static bool plain(uint8_t c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static uint8_t *put_ascii(uint8_t *to, uint8_t c) {
  static const char hex[] = "0123456789abcdef";
  *to++ = '\\';
  switch (c) {
    case '"': case '\\': *to++ = c; return to;
    case '\n': *to++ = 'n'; return to;
    case '\r': *to++ = 'r'; return to;
    case '\t': *to++ = 't'; return to;
    default:
      memcpy(to, "u00", 3);
      to[3] = (uint8_t)hex[c >> 4];
      to[4] = (uint8_t)hex[c & 15];
      return to + 5;
  }
}

static uint8_t *put_escaped(uint8_t *to, const uint8_t *from, size_t length) {
  static bool table_ready, is_plain[256];
  if (!table_ready) {
    for (int c = 0; c < 256; c++) is_plain[c] = plain((uint8_t)c);
    table_ready = true;
  }
  for (size_t i = 0; i < length;) {
    size_t run = i;
    while (run < length && is_plain[from[run]]) run++;
    memcpy(to, from + i, run - i);
    to += run - i;
    i = run;
    if (i == length) break;
    if (from[i] < 0x80) {
      to = put_ascii(to, from[i++]);
      continue;
    }
    size_t n = utf8_length(from + i, length - i);
    if (n == 0) {
      memcpy(to, "\\ufffd", 6);
      to += 6;
      i++;
    } else if (n == 3 && from[i] == 0xe2 && from[i + 1] == 0x80 && (from[i + 2] | 1) == 0xa9) {
      memcpy(to, from[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
      to += 6;
      i += n;
    } else {
      memcpy(to, from + i, n);
      to += n;
      i += n;
    }
  }
  return to;
}

static size_t put_record(uint8_t *to, int stream, const uint8_t *line, size_t length) {
  uint8_t *at = to;
  memcpy(at, "{\"log\":\"", 8);
  at = put_escaped(at + 8, line, length);
  size_t tail = out.tail_length[stream];
  /* Mostly it is short, and then a copy of a fixed size costs a fifth of one that has to be called. */
  memcpy(at, out.tail[stream], SHORT_TAIL);
  if (tail > SHORT_TAIL) memcpy(at, out.tail[stream], tail);
  at += tail;
  at += put_time(at);
  memcpy(at, "\"}\n", 3);
  return (size_t)(at + 3 - to);
}

const uint8_t *log_note(const char *text, size_t *length) {
  static uint8_t record[1024 + TAIL_MAX];
  *length = put_record(record, 1, (const uint8_t *)text, strlen(text));
  return record;
}

static void write_buffer(void) {
  if (out.buffered == 0) return;
  if (!logfile_write(out.buffer, out.buffered, out.records)) out.failed += out.records;
  out.buffered = 0;
  out.records = 0;
}

static void add_line(int stream, const uint8_t *line, size_t length) {
  if (out.ring) {
    out.dropped += ring_put(out.buffer, put_record(out.buffer, stream, line, length));
    return;
  }
  if (out.buffered > out.limit) write_buffer();
  out.buffered += put_record(out.buffer + out.buffered, stream, line, length);
  out.records++;
}

/* How much of a too long line goes into this record: no UTF-8 sequence is torn. */
static size_t whole_characters(const uint8_t *data, size_t length) {
  for (size_t back = 1; back <= 3 && back < length; back++) {
    uint8_t c = data[length - back];
    if ((c & 0xc0) == 0x80) continue;
    size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    return need > back ? length - back : length;
  }
  return length;
}

/* Adds to an unfinished line; gives how many bytes it took. */
static size_t add_partial(int stream, const uint8_t *data, size_t length) {
  size_t *have = &out.partial_length[stream];
  size_t take = LINE_MAX_BYTES - *have < length ? LINE_MAX_BYTES - *have : length;
  memcpy(out.partial[stream] + *have, data, take);
  *have += take;
  if (*have == LINE_MAX_BYTES) {
    size_t whole = whole_characters(out.partial[stream], *have);
    add_line(stream, out.partial[stream], whole);
    memmove(out.partial[stream], out.partial[stream] + whole, *have - whole);
    *have -= whole;
  }
  return take;
}

void log_output(int stream, const uint8_t *data, size_t length) {
  if (!out.open) return;
  while (length > 0) {
    const uint8_t *newline = memchr(data, '\n', length);
    size_t size = newline ? (size_t)(newline - data) + 1 : length;
    if (newline && out.partial_length[stream] == 0 && size <= LINE_MAX_BYTES) {
      add_line(stream, data, size);
    } else {
      size = add_partial(stream, data, size);
      if (newline && data + size == newline + 1 && out.partial_length[stream] > 0) {
        add_line(stream, out.partial[stream], out.partial_length[stream]);
        out.partial_length[stream] = 0;
      }
    }
    data += size;
    length -= size;
  }
}

static void end_lines(void) {
  for (int stream = 0; stream < 2; stream++) {
    if (out.partial_length[stream] == 0) continue;
    add_line(stream, out.partial[stream], out.partial_length[stream]);
    out.partial_length[stream] = 0;
  }
}

void log_flush(void) {
  if (!out.open) return;
  if (out.ring) ring_publish();
  else write_buffer();
}

int log_close(uint64_t now) {
  if (!out.open) return 0;
  end_lines();
  log_flush();
  if (!out.ring) return 0;
  int wait = ring_close(now);
  if (wait == 0) out.dropped += ring_abandon();
  return wait;
}

void log_lost(uint64_t *dropped, uint64_t *failed) {
  *dropped = out.dropped;
  *failed = out.failed + (out.ring ? ring_failed() : 0);
}

static bool untold(uint64_t values[3]) {
  log_lost(&values[0], &values[1]);
  values[2] = 1;
  return values[0] != out.told[0] || values[1] != out.told[1];
}

void log_greet(struct connection *connection) {
  uint64_t values[] = {out.told[0], out.told[1], 0};
  if (values[0] + values[1] > 0) send_frame(connection, SHIM_LOG_LOST, 3, values, "884");
  if (out.compressed) send_frame(connection, SHIM_LOG_FILES, 0, NULL, "");
}

int log_on_time(uint64_t now, bool last) {
  uint64_t values[3];
  if (!untold(values) || latest_control() == NULL) return -1;
  if (!last && out.told_at > 0 && now - out.told_at < TELL_MS) return (int)(TELL_MS - (now - out.told_at));
  memcpy(out.told, values, sizeof out.told);
  out.told_at = now;
  tell_controls(SHIM_LOG_LOST, 3, values, "884");
  return -1;
}

int log_swap(uint64_t inode, const char *path) {
  if (!out.compressed) return -EINVAL;
  if (out.ring) return ring_swap(inode, path);
  logfile_swap(inode, path);
  log_files_changed();
  return 0;
}

/* Called where the files are: in the shim, or in the writer's process, which has no connections. */
void log_files_changed(void) {
  if (out.ring) ring_files_changed();
  else tell_controls(SHIM_LOG_FILES, 0, NULL, "");
}

void log_notified(void) {
  if (ring_notified()) tell_controls(SHIM_LOG_FILES, 0, NULL, "");
}

void log_reap(void) {
  if (out.ring) out.dropped += ring_reap();
}
