/*
 * The json-file log: one JSON object a line, as Docker writes and others read it, escaped as Go's encoding/json does with
 * HTML escaping on. Records are collected and written whole, many at a time, so that a kill tears at most the last one.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define LINE_MAX_BYTES 16384
#define BUFFER_SIZE (256u << 10)
/* A record at its longest: each byte escaped to six, and the frame around it; its attributes come on top. */
#define RECORD_MAX (LINE_MAX_BYTES * 6 + 128)
#define TAIL_MAX (64 + WIRE_LOG_ATTRS_MAX)

static int log_fd = -1;
static struct {
  const char *path;
  uint64_t max_size, size, lost;
  uint32_t max_files;
  size_t buffered;
  uint32_t records;
  size_t partial_length[2];
  /* What stands between a record's text and its time: stream and attributes. */
  size_t tail_length[2];
  char tail[2][TAIL_MAX];
  uint8_t partial[2][LINE_MAX_BYTES];
  uint8_t buffer[BUFFER_SIZE + WIRE_LOG_ATTRS_MAX];
} out;

static int open_file(void) {
  log_fd = open(out.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (log_fd < 0) return -errno;
  struct stat info;
  if (fstat(log_fd, &info) < 0) return -errno;
  out.size = (uint64_t)info.st_size;
  char last = '\n';
  /* What a crash tore off is ended, so that the next record starts a line of its own. */
  if (info.st_size > 0 && pread(log_fd, &last, 1, info.st_size - 1) == 1 && last != '\n') {
    if (write(log_fd, "\n", 1) == 1) out.size++;
  }
  return 0;
}

int log_open(const struct op_log *log) {
  out.path = log->path;
  out.max_size = log->max_size;
  out.max_files = log->max_files > 0 ? log->max_files : 1;
  if (strlen(log->attrs) > WIRE_LOG_ATTRS_MAX) return -E2BIG;
  for (int i = 0; i < 2; i++) {
    out.tail_length[i] = (size_t)snprintf(out.tail[i], TAIL_MAX, "\",\"stream\":\"%s\"%s%s,\"time\":\"", i == 0 ? "stdout" : "stderr",
                                          *log->attrs ? ",\"attrs\":" : "", log->attrs);
  }
  return open_file();
}

static void rotate(void) {
  char from[4200], to[4200];
  close(log_fd);
  for (uint32_t i = out.max_files - 1; i > 0; i--) {
    snprintf(to, sizeof to, "%s.%u", out.path, i);
    if (i == 1) snprintf(from, sizeof from, "%s", out.path);
    else snprintf(from, sizeof from, "%s.%u", out.path, i - 1);
    rename(from, to);
  }
  if (out.max_files == 1) unlink(out.path);
  if (open_file() < 0) log_fd = -1;
}

/* Writes all or nothing: what a full disk took only in part is cut off again, and counted as lost. */
static bool write_records(const uint8_t *data, size_t length, uint32_t records) {
  if (log_fd < 0 && open_file() < 0) {
    out.lost += records;
    return false;
  }
  size_t done = 0;
  while (done < length) {
    ssize_t n = write(log_fd, data + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (done > 0 && ftruncate(log_fd, (off_t)out.size) < 0) out.size += done;
      out.lost += records;
      return false;
    }
    done += (size_t)n;
  }
  out.size += length;
  return true;
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
  memcpy(at, out.tail[stream], out.tail_length[stream]);
  at += out.tail_length[stream];
  at += put_time(at);
  memcpy(at, "\"}\n", 3);
  return (size_t)(at + 3 - to);
}

static void write_buffer(void) {
  if (out.buffered == 0) return;
  if (out.max_size > 0 && out.size > 0 && out.size + out.buffered > out.max_size) rotate();
  if (out.lost > 0) {
    static uint8_t record[256 + TAIL_MAX];
    char text[96];
    int n = snprintf(text, sizeof text, "berth: %llu log records lost: the disk was full\n", (unsigned long long)out.lost);
    size_t length = put_record(record, 1, (uint8_t *)text, (size_t)n);
    if (write_records(record, length, 0)) out.lost = 0;
  }
  write_records(out.buffer, out.buffered, out.records);
  out.buffered = 0;
  out.records = 0;
}

static void add_line(int stream, const uint8_t *line, size_t length) {
  size_t limit = out.max_size > 0 && out.max_size < BUFFER_SIZE - RECORD_MAX ? out.max_size : BUFFER_SIZE - RECORD_MAX;
  if (out.buffered > limit) write_buffer();
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
  if (out.path == NULL) return;
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

void log_flush(bool last) {
  if (out.path == NULL) return;
  for (int stream = 0; last && stream < 2; stream++) {
    if (out.partial_length[stream] == 0) continue;
    add_line(stream, out.partial[stream], out.partial_length[stream]);
    out.partial_length[stream] = 0;
  }
  write_buffer();
}
