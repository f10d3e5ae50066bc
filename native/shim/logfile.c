/*
 * The files of the log: written whole records at a time, rotated by size. Whoever writes is the only one that renames them
 * while the container runs; with a ring that is the writer's process, else the shim itself.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define PATH_SIZE 4200

static struct {
  const char *path;
  uint64_t max_size, size;
  uint32_t max_files;
  bool compressed;
  int fd;
} file = {.fd = -1};

/* Records that are lost, by reason: those that the log does not tell of yet. */
static uint64_t untold[LOST_REASONS];
static const char *const reasons[LOST_REASONS] = {"the disk was full", "the log buffer was full"};

static int open_file(void) {
  file.fd = open(file.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file.fd < 0) return -errno;
  struct stat info;
  if (fstat(file.fd, &info) < 0) return -errno;
  file.size = (uint64_t)info.st_size;
  char last = '\n';
  /* What a crash tore off is ended, so that the next record starts a line of its own. */
  if (info.st_size > 0 && pread(file.fd, &last, 1, info.st_size - 1) == 1 && last != '\n') {
    if (write(file.fd, "\n", 1) == 1) file.size++;
  }
  return 0;
}

int logfile_open(const struct op_log *log) {
  file.path = log->path;
  file.max_size = log->max_size;
  file.max_files = log->max_files > 0 ? log->max_files : 1;
  file.compressed = log->options & WIRE_LOG_COMPRESSED;
  return open_file();
}

void logfile_close(void) {
  if (file.fd >= 0) close(file.fd);
  file.fd = -1;
}

void logfile_move(int fd) {
  if (file.fd < 0) close(fd);
  else file.fd = dup2(file.fd, fd);
}

static const char *name_of(char *to, uint32_t number, const char *form) {
  if (number == 0) snprintf(to, PATH_SIZE, "%s%s", file.path, form);
  else snprintf(to, PATH_SIZE, "%s.%u%s", file.path, number, form);
  return to;
}

/* A file that is moved in one form takes the place of both; of one that has both for a moment, the plain one counts. */
static void move_up(uint32_t number) {
  char from[PATH_SIZE], to[PATH_SIZE];
  if (!file.compressed) {
    rename(name_of(from, number, ""), name_of(to, number + 1, ""));
    return;
  }
  const char *forms[2] = {"", ".gz"};
  for (int i = 0; i < 2; i++) {
    if (access(name_of(from, number, forms[i]), F_OK) < 0) continue;
    unlink(name_of(to, number + 1, forms[1 - i]));
    rename(from, name_of(to, number + 1, forms[i]));
    return;
  }
}

static bool is_there(uint32_t number) {
  char path[PATH_SIZE];
  return access(name_of(path, number, ""), F_OK) == 0 || (file.compressed && access(name_of(path, number, ".gz"), F_OK) == 0);
}

/* What lies above a number that no file has stays where it is: there may be names for a thousand million files. */
static void rotate(void) {
  logfile_close();
  uint32_t free = 1;
  while (free < file.max_files - 1 && is_there(free)) free++;
  for (uint32_t number = file.max_files == 1 ? 0 : free; number > 0; number--) move_up(number - 1);
  if (file.max_files == 1) unlink(file.path);
  open_file();
  if (file.compressed) log_files_changed();
}

void logfile_swap(uint64_t inode, const char *from) {
  char path[PATH_SIZE], to[PATH_SIZE];
  struct stat info;
  for (uint32_t number = 1; number < file.max_files && is_there(number); number++) {
    if (lstat(name_of(path, number, ""), &info) < 0 || info.st_ino != inode) continue;
    if (rename(from, name_of(to, number, ".gz")) == 0) unlink(path);
    break;
  }
  unlink(from);
}

/* Writes all or nothing: what a full disk took only in part is cut off again. */
static bool append(const uint8_t *data, size_t length) {
  if (file.fd < 0 && open_file() < 0) return false;
  size_t done = 0;
  while (done < length) {
    ssize_t n = write(file.fd, data + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (done > 0 && ftruncate(file.fd, (off_t)file.size) < 0) file.size += done;
      return false;
    }
    done += (size_t)n;
  }
  file.size += length;
  return true;
}

void logfile_missing(enum lost_reason reason, uint64_t records) { untold[reason] += records; }

/* Says at the place where records are missing how many they are, and why. */
static void tell_missing(void) {
  for (int reason = 0; reason < LOST_REASONS; reason++) {
    if (untold[reason] == 0) continue;
    char text[128];
    size_t length;
    snprintf(text, sizeof text, "berth: %llu log records lost: %s\n", (unsigned long long)untold[reason], reasons[reason]);
    const uint8_t *record = log_note(text, &length);
    if (append(record, length)) untold[reason] = 0;
  }
}

bool logfile_write(const uint8_t *data, size_t length, uint32_t records) {
  if (file.max_size > 0 && file.size > 0 && file.size + length > file.max_size) rotate();
  tell_missing();
  if (append(data, length)) return true;
  untold[LOST_DISK_FULL] += records;
  return false;
}
