/*
 * Luck, descriptors, files, processes, and everything else that has an effect on a machine and here has none.
 */
#include "world.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sanitizer/asan_interface.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX 2000000u
#define POISONED 256
#define MAPS 8
#define POISON_SIZE 8192

const int world_errors[16] = {0, EAGAIN, EINTR, EPERM, ENOENT, ENOMEM, EPIPE, EINVAL, EMFILE, ENOSPC, EEXIST, ECONNREFUSED,
                              EBUSY, ENOTSUP, EINPROGRESS, EAGAIN};

struct world world;
static jmp_buf out;
extern uint8_t tested_data_begin[], tested_data_end[], tested_bss_begin[], tested_bss_end[];
static uint8_t *data_at_start;
static struct { void *at; size_t length; } poisoned[POISONED], maps[MAPS];
static size_t poisoned_count, map_count;
static volatile uint8_t seen;

uint8_t take_u8(struct bytes *from) { return from->at < from->end ? *from->at++ : 0; }

uint16_t take_u16(struct bytes *from) {
  uint16_t low = take_u8(from);
  return (uint16_t)(low | take_u8(from) << 8);
}

struct bytes take_bytes(struct bytes *from, size_t length) {
  if (from->at == NULL) return *from;
  struct bytes taken = {from->at, from->at + (length < bytes_left(from) ? length : bytes_left(from))};
  from->at = taken.end;
  return taken;
}

struct bytes take_part(struct bytes *from) {
  uint16_t length = take_u16(from);
  return take_bytes(from, length);
}

/* Luck is pairs: how many calls go well, and how the next one fails. */
static void next_failure(void) {
  bool more = world.luck.at < world.luck.end;
  world.skip = take_u8(&world.luck);
  world.failure = more ? take_u8(&world.luck) & 15 : 0;
}

/* Between variables lies what nobody else may read: this one copies all of it. */
__attribute__((no_sanitize("address", "undefined"))) static void copy_words(void *to, const void *from, size_t size) {
  uint64_t *target = to;
  const uint64_t *source = from;
  for (size_t i = 0; i < size / sizeof *target; i++) {
    if (target[i] != source[i]) target[i] = source[i];
  }
}

void world_begin(struct bytes luck, struct bytes content) {
  for (size_t i = 0; i < poisoned_count; i++) __asan_unpoison_memory_region(poisoned[i].at, poisoned[i].length);
  for (size_t i = 0; i < map_count; i++) munmap(maps[i].at, maps[i].length);
  poisoned_count = map_count = 0;
  for (int fd = 0; fd < world.high; fd++) {
    if (world.descriptors[fd].real > 0) close(world.descriptors[fd].real);
  }
  size_t size = (size_t)(tested_data_end - tested_data_begin);
  if (data_at_start == NULL) {
    data_at_start = malloc(size);
    copy_words(data_at_start, tested_data_begin, size);
  }
  copy_words(tested_data_begin, data_at_start, size);
  /* Pages that nobody has touched cost nothing, and there are hundreds of megabytes of them. */
  size_t bss = (size_t)(tested_bss_end - tested_bss_begin);
  if (madvise(tested_bss_begin, bss, MADV_DONTNEED) < 0) abort();
  uint8_t *disk = world.disk;
  size_t disk_size = world.disk_size;
  memset(&world, 0, offsetof(struct world, descriptors) + (size_t)world.high * sizeof *world.descriptors);
  world.disk = disk;
  world.disk_size = disk_size;
  world.luck = luck;
  world.content = content;
  world.now = 1000000000000ull;
  world.high = 3;
  for (int fd = 0; fd < 3; fd++) world.descriptors[fd].kind = FILE_KIND;
  next_failure();
}

bool world_run(void (*what)(void)) {
  if (setjmp(out) != 0) return false;
  what();
  return true;
}

void world_end(void) { longjmp(out, 1); }

void world_fault(const char *what) {
  fprintf(stderr, "the world: %s\n", what);
  abort();
}

/* Which failure this call has; 0: it goes well. */
static int misfortune(void) {
  if (++world.calls > CALLS_MAX) world_fault("a loop without an end");
  if (world.failure == 0) return 0;
  if (world.skip > 0) {
    world.skip--;
    return 0;
  }
  int failure = world.failure;
  next_failure();
  return failure;
}

bool world_fails(void) {
  int failure = misfortune();
  if (failure == 0) return false;
  errno = world_errors[failure];
  return true;
}

int world_new(enum kind kind) {
  for (int fd = 0; fd < DESCRIPTORS; fd++) {
    if (world.descriptors[fd].kind != CLOSED) continue;
    *world_at(fd) = (struct descriptor){.kind = kind};
    return fd;
  }
  errno = EMFILE;
  return -1;
}

struct descriptor *world_at(int fd) {
  if (fd >= world.high) world.high = fd + 1;
  return &world.descriptors[fd];
}

static int opened(enum kind kind) { return world_fails() ? -1 : world_new(kind); }

struct descriptor *world_get(int fd) {
  if (fd < 0 || fd >= DESCRIPTORS || world.descriptors[fd].kind == CLOSED) {
    errno = EBADF;
    return NULL;
  }
  return &world.descriptors[fd];
}

int world_open_count(void) {
  int count = 0;
  for (int fd = 0; fd < world.high; fd++) count += world.descriptors[fd].kind != CLOSED;
  return count;
}

void world_fill(void *to, size_t size, const void *from, size_t length) {
  /* What has been made unreadable here before. */
  for (size_t i = 0; i < poisoned_count; i++) {
    uint8_t *at = poisoned[i].at;
    if (at >= (uint8_t *)to + size || at + poisoned[i].length <= (uint8_t *)to) continue;
    __asan_unpoison_memory_region(at, poisoned[i].length);
    poisoned[i--] = poisoned[--poisoned_count];
  }
  if (length > 0) memcpy(to, from, length);
  /* What is on a stack does not stay there. */
  bool kept = (uint8_t *)to >= tested_bss_begin && (uint8_t *)to < tested_bss_end;
  if (!kept || poisoned_count == POISONED || length == size) return;
  /* A page and more of it: whoever reads on reads that, and buffers may be large. */
  size_t rest = size - length < POISON_SIZE ? size - length : POISON_SIZE;
  poisoned[poisoned_count].at = (uint8_t *)to + length;
  poisoned[poisoned_count++].length = rest;
  __asan_poison_memory_region((uint8_t *)to + length, rest);
}

void world_look(const void *at, size_t length) {
  for (size_t i = 0; i < length; i++) seen ^= ((const uint8_t *)at)[i];
}

void world_text(const char *text) {
  if (text != NULL) world_look(text, strlen(text) + 1);
}

int world_birth(void) {
  int failure = misfortune();
  if (failure == PART_OF_SEND) {
    world.child = true;
    return 0;
  }
  if (failure != 0) {
    errno = world_errors[failure];
    return -1;
  }
  return 1000 + world.processes++;
}

static int plainly(void) { return world_fails() ? -1 : 0; }

/* --- descriptors --- */

int world_close(int fd) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) {
    if (world.strict && fd >= 0) world_fault("a descriptor is closed that is not open");
    return -1;
  }
  if (it->real > 0) close(it->real);
  *it = (struct descriptor){0};
  return 0;
}

int world_dup3(int fd, int to, int flags) {
  (void)flags;
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (to < 0 || to >= DESCRIPTORS) return errno = EBADF, -1;
  if (to == fd) return to;
  *world_at(to) = (struct descriptor){
      .kind = it->kind, .family = it->family, .type = it->type, .protocol = it->protocol, .ino = it->ino};
  return to;
}

int world_dup2(int fd, int to) { return world_fails() ? -1 : world_dup3(fd, to, 0); }

int world_fcntl(int fd, int command, ...) {
  va_list args;
  va_start(args, command);
  int number = va_arg(args, int);
  va_end(args);
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (command != F_DUPFD_CLOEXEC && command != F_DUPFD) return 0;
  if (world_fails()) return -1;
  for (int to = number < 0 ? 0 : number; to < DESCRIPTORS; to++) {
    if (world.descriptors[to].kind == CLOSED) return world_dup3(fd, to, 0);
  }
  return errno = EMFILE, -1;
}

int world_open(const char *path, int flags, ...) {
  (void)flags;
  world_text(path);
  int fd = opened(FILE_KIND);
  if (fd >= 0) world.descriptors[fd].base = world.disk_used;
  return fd;
}

int world_openat(int dir, const char *path, int flags, ...) {
  (void)dir;
  return world_open(path, flags);
}

int world_pipe2(int *ends, int flags) {
  (void)flags;
  if (world_fails()) return -1;
  ends[0] = world_new(FILE_KIND);
  ends[1] = world_new(FILE_KIND);
  if (ends[1] >= 0) return 0;
  if (ends[0] >= 0) world_close(ends[0]);
  return -1;
}

int world_eventfd(unsigned first, int flags) { (void)first; (void)flags; return opened(FILE_KIND); }
int world_signalfd(int fd, const sigset_t *mask, int flags) { (void)fd; (void)mask; (void)flags; return opened(FILE_KIND); }

int world_memfd_create(const char *name, unsigned flags) {
  world_text(name);
  int fd = opened(FILE_KIND);
  if (fd >= 0) world.descriptors[fd].real = memfd_create("world", flags & MFD_CLOEXEC);
  return fd;
}

/* --- files --- */

ssize_t world_read(int fd, void *to, size_t size) {
  struct descriptor *it = world_get(fd);
  if (it == NULL || world_fails()) return -1;
  bool events = bytes_left(&it->in) > 0 || it->watched;
  struct bytes *from = events ? &it->in : &world.content;
  if (events && bytes_left(from) == 0 && !it->ends) return errno = EAGAIN, -1;
  size_t wanted = events ? size : take_u8(from);
  struct bytes got = take_bytes(from, wanted < size ? wanted : size);
  if (bytes_left(&got) > 0) memcpy(to, got.at, bytes_left(&got));
  return (ssize_t)bytes_left(&got);
}

ssize_t world_pread(int fd, void *to, size_t size, off_t at) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  return it->real > 0 ? pread(it->real, to, size, at) : world_read(fd, to, size);
}

ssize_t world_write(int fd, const void *from, size_t size) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  world_look(from, size);
  int failure = misfortune();
  if (failure == PART_OF_SEND) size /= 2;
  else if (failure != 0) return errno = world_errors[failure], -1;
  if (world.disk != NULL && it->kind == FILE_KIND) {
    if (size > world.disk_size - world.disk_used) return errno = ENOSPC, -1;
    memcpy(world.disk + world.disk_used, from, size);
    world.disk_used += size;
  }
  return (ssize_t)size;
}

int world_ftruncate(int fd, off_t size) {
  struct descriptor *it = world_get(fd);
  if (it == NULL || world_fails()) return -1;
  if (world.disk != NULL) world.disk_used = it->base + (size_t)size;
  return 0;
}

/* What a file is: mostly a file, else what the content says. */
static int about(struct stat *info) {
  static const mode_t modes[] = {S_IFREG, S_IFDIR, S_IFCHR, S_IFLNK};
  memset(info, 0, sizeof *info);
  if (world_fails()) return -1;
  uint8_t chosen = take_u8(&world.content);
  info->st_mode = modes[chosen & 3] | 0644;
  info->st_rdev = chosen & 4 ? makedev(5, 0) : makedev(1, 3);
  info->st_ino = chosen;
  return 0;
}

int world_fstat(int fd, struct stat *info) {
  struct descriptor *it = world_get(fd);
  if (it == NULL) return -1;
  if (it->real > 0) return fstat(it->real, info);
  int result = about(info);
  if (it->ino != 0) info->st_ino = it->ino;
  info->st_size = world.disk != NULL ? 0 : take_u8(&world.content);
  return result;
}

int world_stat(const char *path, struct stat *info) { return world_text(path), about(info); }
int world_lstat(const char *path, struct stat *info) { return world_text(path), about(info); }
int world_fstatat(int dir, const char *path, struct stat *info, int flags) {
  (void)dir;
  (void)flags;
  return world_text(path), about(info);
}
int world_fstatfs(int fd, struct statfs *info) {
  (void)fd;
  memset(info, 0, sizeof *info);
  info->f_type = take_u8(&world.content) & 1 ? 0x9fa0 : 0x6969;
  return plainly();
}

ssize_t world_readlink(const char *path, char *to, size_t size) {
  world_text(path);
  if (world_fails()) return -1;
  size_t length = size < 4 ? size : 4;
  memcpy(to, "1234", length);
  return (ssize_t)length;
}
/* Whoever looks for a number that no file has, in neither of two forms, finds one at last. */
int world_access(const char *path, int mode) {
  (void)mode;
  world_text(path);
  if (++world.looks % 8 < 2) return errno = ENOENT, -1;
  return plainly();
}
int world_rename(const char *from, const char *to) { return world_text(from), world_text(to), plainly(); }
int world_unlink(const char *path) { return world_text(path), plainly(); }
int world_mkdir(const char *path, mode_t mode) { return (void)mode, world_text(path), plainly(); }
int world_chmod(const char *path, mode_t mode) { return (void)mode, world_text(path), plainly(); }
int world_chdir(const char *path) { return world_text(path), plainly(); }
int world_fchdir(int fd) { return world_get(fd) == NULL ? -1 : plainly(); }
int world_fchmod(int fd, mode_t mode) { return (void)mode, world_get(fd) == NULL ? -1 : plainly(); }
int world_fchown(int fd, uid_t uid, gid_t gid) { return (void)fd, (void)uid, (void)gid, plainly(); }
int world_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags) {
  return (void)dir, (void)uid, (void)gid, (void)flags, world_text(path), plainly();
}
int world_mkdirat(int dir, const char *path, mode_t mode) { return (void)dir, (void)mode, world_text(path), plainly(); }
int world_mknod(const char *path, mode_t mode, dev_t device) { return (void)mode, (void)device, world_text(path), plainly(); }
int world_mknodat(int dir, const char *path, mode_t mode, dev_t device) { return (void)dir, world_mknod(path, mode, device); }
int world_symlinkat(const char *target, int dir, const char *path) { return (void)dir, world_text(target), world_text(path), plainly(); }
int world_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data) {
  return (void)flags, (void)data, world_text(source), world_text(target), world_text(type), plainly();
}
int world_umount2(const char *path, int flags) { return (void)flags, world_text(path), plainly(); }
ssize_t world_sendfile(int to, int from, off_t *at, size_t size) { return (void)to, (void)from, (void)at, world_fails() ? -1 : (ssize_t)size; }

int world_lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  return (void)flags, world_text(path), world_text(name), world_look(value, size), plainly();
}
int world_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
  return (void)fd, (void)flags, world_text(name), world_look(value, size), plainly();
}
/* Names of attributes end with a NUL each. */
ssize_t world_llistxattr(const char *path, char *names, size_t size) {
  world_text(path);
  if (world_fails()) return -1;
  struct bytes got = take_bytes(&world.content, take_u8(&world.content));
  size_t length = bytes_left(&got);
  while (length > 0 && got.at[length - 1] != 0) length--;
  if (length > size) return errno = ERANGE, -1;
  world_fill(names, size, got.at, length);
  return (ssize_t)length;
}
ssize_t world_lgetxattr(const char *path, const char *name, void *value, size_t size) {
  world_text(path);
  world_text(name);
  if (world_fails()) return -1;
  /* An attribute's value may be large: its length is what matters. */
  size_t length = (size_t)take_u8(&world.content) << 8;
  if (length > size) return errno = ERANGE, -1;
  memset(value, 'x', length);
  return (ssize_t)length;
}

/* --- memory, time, chance --- */

void *world_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 || map_count == MAPS || size > 64u << 20 || world_fails()) return errno = ENOMEM, MAP_FAILED;
  void *map = mmap(at, size, protection, flags, fd, offset);
  if (map == MAP_FAILED) return map;
  maps[map_count].at = map;
  maps[map_count++].length = size;
  return map;
}

/* Whatever is given back reads as zeros; the kernel refuses what does not begin with a page. */
int world_madvise(void *at, size_t size, int advice) {
  if (madvise(at, size, advice) < 0) world_fault("memory is given back that is no page's");
  __asan_unpoison_memory_region(at, size);
  return 0;
}

int world_clock_gettime(clockid_t clock, struct timespec *now) {
  (void)clock;
  world.now += 1000;
  *now = (struct timespec){.tv_sec = (time_t)(world.now / 1000000000u), .tv_nsec = (long)(world.now % 1000000000u)};
  return 0;
}

int world_nanosleep(const struct timespec *wanted, struct timespec *left) {
  (void)left;
  world.now += (uint64_t)wanted->tv_nsec;
  return 0;
}

ssize_t world_getrandom(void *to, size_t size, unsigned flags) {
  (void)flags;
  if (world_fails()) return -1;
  static const uint8_t chance[16] = {7, 0, 9, 1};
  memcpy(to, chance, size < sizeof chance ? size : sizeof chance);
  /* Whoever looks for a number that is free comes to an end, and an input can know it. */
  uint32_t number = ++world.random;
  memcpy(to, &number, size < sizeof number ? size : sizeof number);
  return (ssize_t)size;
}

/* --- processes --- */

int world_fork(void) { return world_birth(); }
int world_vfork(void) { return world_birth(); }
_Noreturn void world__exit(int status) { (void)status; world_end(); }
int world_getpid(void) { return 999; }
int world_getppid(void) { return world.child ? 999 : 1; }

static void list(char *const *texts) {
  for (; *texts != NULL; texts++) world_text(*texts);
}

/* It becomes another program, which is the end of this one. */
int world_execve(const char *path, char *const *args, char *const *env) {
  world_text(path);
  list(args);
  list(env);
  if (world_fails()) return -1;
  world_end();
}

int world_waitpid(int pid, int *status, int options) {
  (void)options;
  if (world_fails()) return -1;
  int at = pid - 1000;
  if (at < 0 || at >= 64 || !world.has_ended[at]) return 0;
  world.has_ended[at] = false;
  if (status != NULL) *status = world.ended[at];
  return pid;
}

int world_kill(int pid, int signal) {
  (void)signal;
  if (pid == 0 || pid == -1 || pid == 1) world_fault("a signal for everybody");
  return plainly();
}

int world_sigwaitinfo(const sigset_t *set, siginfo_t *info) {
  (void)set;
  if (bytes_left(&world.content) == 0) world_end();
  memset(info, 0, sizeof *info);
  info->si_signo = take_u8(&world.content) & 31;
  return world_fails() ? -1 : info->si_signo;
}

int world_setsid(void) { return plainly(); }
int world_setpgid(int pid, int group) { return (void)pid, (void)group, plainly(); }
int world_tcsetpgrp(int fd, int group) { return (void)fd, (void)group, plainly(); }
int world_setns(int fd, int type) { return (void)type, world_get(fd) == NULL ? -1 : plainly(); }
int world_unshare(int flags) { return (void)flags, plainly(); }
mode_t world_umask(mode_t mask) { return mask; }
int world_setfsuid(uid_t uid) { return (void)uid, 0; }
int world_setfsgid(gid_t gid) { return (void)gid, 0; }
int world_sethostname(const char *name, size_t size) { return world_look(name, size), plainly(); }
int world_setdomainname(const char *name, size_t size) { return world_look(name, size), plainly(); }
int world_setrlimit(int resource, const struct rlimit *limit) { return (void)resource, world_look(limit, sizeof *limit), plainly(); }
int world_getrlimit(int resource, struct rlimit *limit) { return (void)resource, memset(limit, 0, sizeof *limit), plainly(); }
int world_sigprocmask(int how, const sigset_t *set, sigset_t *old) { return (void)how, (void)set, (void)old, 0; }
int world_sigaction(int signal, const struct sigaction *action, struct sigaction *old) { return (void)signal, (void)action, (void)old, 0; }
int world_prctl(int option, ...) { return (void)option, plainly(); }
int world_fprintf(FILE *to, const char *format, ...) { return (void)to, world_text(format), 0; }
size_t world_fwrite(const void *from, size_t size, size_t count, FILE *to) { return (void)to, world_look(from, size * count), count; }

int world_ioctl(int fd, unsigned long request, ...) {
  if (world_get(fd) == NULL) return -1;
  return request == TIOCGPTPEER ? opened(FILE_KIND) : plainly();
}

static long clone_of(const struct clone_args *args) {
  int pid = world_birth();
  if (pid > 0 && args->flags & CLONE_PIDFD) *(int *)(uintptr_t)args->pidfd = world_new(FILE_KIND);
  return pid;
}

static long close_range_of(unsigned first, unsigned flags) {
  for (unsigned fd = first; flags == 0 && fd < DESCRIPTORS; fd++) {
    if (world.descriptors[fd].kind != CLOSED) world_close((int)fd);
  }
  return 0;
}

long world_syscall(long number, ...) {
  long a[5];
  va_list args;
  va_start(args, number);
  for (int i = 0; i < 5; i++) a[i] = va_arg(args, long);
  va_end(args);
  switch (number) {
    case SYS_clone3: return clone_of((const struct clone_args *)a[0]);
    case SYS_clone: return world_birth();
    case SYS_close_range: return close_range_of((unsigned)a[0], (unsigned)a[2]);
    case SYS_openat2:
    case SYS_open_tree: return world_text((const char *)a[1]), opened(FILE_KIND);
    case SYS_fsopen: return world_text((const char *)a[0]), opened(FILE_KIND);
    case SYS_fsmount: return opened(FILE_KIND);
    case SYS_fsconfig: return world_text((const char *)a[2]), world_text((const char *)a[3]), plainly();
    case SYS_move_mount: return world_text((const char *)a[1]), world_text((const char *)a[3]), plainly();
    case SYS_mount_setattr: return world_look((const void *)a[3], (size_t)a[4]), plainly();
    case SYS_setgroups: return world_look((const void *)a[1], (size_t)(unsigned)a[0] * sizeof(gid_t)), plainly();
    case SYS_seccomp: {
      const struct { unsigned short length; const uint8_t *filter; } *program = (const void *)a[2];
      return world_look(program->filter, (size_t)program->length * 8), plainly();
    }
    case SYS_bpf: {
      const struct { uint32_t type, count; uint64_t program; } *load = (const void *)a[1];
      if (a[0] == 5) world_look((const void *)(uintptr_t)load->program, (size_t)load->count * 8);
      return a[0] == 5 ? opened(FILE_KIND) : plainly();
    }
    case SYS_getcwd:
      memcpy((char *)a[0], take_u8(&world.content) & 1 ? "(unreachable)" : "/", 2);
      return world_fails() ? -1 : 2;
    case SYS_futex:
      /* Whoever waits, waits for ever. */
      if (a[1] == FUTEX_WAIT) world_end();
      return 0;
    case SYS_landlock_create_ruleset:
      /* Without rules it is asked which version there is. */
      if (a[0] == 0) return world_fails() ? -1 : take_u8(&world.content) & 7;
      return world_look((const void *)a[0], (size_t)a[1]), opened(FILE_KIND);
    case SYS_landlock_add_rule: return world_look((const void *)a[2], 12), plainly();
    case SYS_pidfd_open: return opened(FILE_KIND);
    case SYS_execveat: return list((char *const *)a[2]), plainly();
    default: return plainly();
  }
}
