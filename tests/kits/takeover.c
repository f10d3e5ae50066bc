/*
 * takeover GUARD COMMAND …: what somebody tries who has taken over a daemon that runs as an ordinary user. It is started as
 * that daemon is. Each attempt is a line: what, a tab, and the name of the error; "done" where there was none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "keeper.h"

#define OPEN_TREE_CLONE 1
#define MOVE_MOUNT_EMPTY 4
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif
#define READ_ONLY 1
#define NO_SETUID 2
#define NO_DEVICES 4

struct attributes {
  uint64_t set, clear, propagation, userns;
};

static const char *guard_path;

static void tell(int result, const char *format, ...) {
  int error = result < 0 ? errno : 0;
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\t%s\n", error ? strerrorname_np(error) : "done");
  fflush(stdout);
}

static int asked(const struct keeper_request *request, const int *give, unsigned given, int *got, unsigned wanted) {
  int guard = keeper_connect(guard_path);
  int result = guard < 0 ? guard : keeper_ask(guard, request, give, given, got, wanted);
  close(guard);
  if (result < 0) errno = -result;
  return result < 0 ? -1 : 0;
}

static int owners(uint32_t uid, uint32_t gid, int *fd) {
  struct keeper_request request = {KEEPER_OWNERS, .uid = uid, .gid = gid};
  return asked(&request, NULL, 0, fd, 1);
}

static int bind_of(const char *path, int owners_fd, int *mnt) {
  struct keeper_request request = {KEEPER_BIND};
  strcpy(request.path, path);
  return asked(&request, &owners_fd, 1, mnt, 1);
}

static int published(uint32_t family, uint32_t type, uint32_t protocol, const char *address, uint32_t port) {
  struct keeper_request request = {KEEPER_SOCKET, .family = family, .type = type, .protocol = protocol, .port = port};
  int fd = -1;
  strcpy(request.address, address);
  return asked(&request, NULL, 0, &fd, 1);
}

/* SO_REUSEADDR is asked for, and the socket stays. */
static int datagrams(uint32_t port) {
  struct keeper_request request = {KEEPER_SOCKET, .family = AF_INET, .type = SOCK_DGRAM, .protocol = IPPROTO_UDP, .port = port, .options = 2};
  int fd = -1;
  strcpy(request.address, "127.0.0.1");
  return asked(&request, NULL, 0, &fd, 1);
}

static int map_owners(int mnt, int owners_fd) {
  struct keeper_request request = {KEEPER_MAP};
  int given[2] = {mnt, owners_fd};
  return asked(&request, given, 2, NULL, 0);
}

static int clear(int mnt, uint64_t what) {
  struct attributes attributes = {.clear = what};
  return (int)syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}

static int clone_of(const char *path) {
  return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE);
}

/* host SCRATCH DISK GUARD-PID FILE…: what the kernel is asked for; descriptors 3, 4, … are the host's namespaces. */
static void ask_kernel(int argc, char **argv) {
  static const struct {
    const char *name;
    int type;
  } kinds[] = {{"mnt", CLONE_NEWNS}, {"net", CLONE_NEWNET}, {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}};
  char path[4096];
  pid_t guard = (pid_t)atoi(argv[2]);
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i].name);
    tell(open(path, O_RDONLY), "open %s", path);
    tell(setns(3 + (int)i, kinds[i].type), "setns %s", kinds[i].name);
  }
  snprintf(path, sizeof path, "%s/disk", argv[0]);
  tell(mknod(path, S_IFBLK | 0600, (dev_t)strtoul(argv[1], NULL, 10)), "mknod of a disk");
  tell(kill(guard, SIGTERM), "signal the guard");
  tell((int)ptrace(PTRACE_ATTACH, guard, NULL, NULL), "trace the guard");
  tell(sethostname("taken", 5), "sethostname");
  struct timeval now;
  gettimeofday(&now, NULL);
  tell(settimeofday(&now, NULL), "settimeofday");
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  ioctl(fd, SIOCGIFFLAGS, &request);
  tell(ioctl(fd, SIOCSIFFLAGS, &request), "change the host's interface");
  tell(mkdir("/etc/taken", 0755), "mkdir /etc/taken");
  tell(chown("/etc/passwd", 0, 0), "chown /etc/passwd");
  tell(open("/etc/shadow", O_RDONLY), "read /etc/shadow");
  for (int i = 3; i < argc; i++) tell(open(argv[i], O_WRONLY | O_APPEND), "write %s", argv[i]);
}

/* mount PATH: mounts there, and waits until its input ends. */
static void mount_over(const char *path) {
  char byte;
  tell(mount("none", path, "tmpfs", 0, NULL), "mount over %s", path);
  while (read(0, &byte, 1) > 0) {
  }
  umount2(path, MNT_DETACH);
}

/* guard POOL BINDS FIXED: what the guard is asked for. POOL: the first ids of a range that is a container's. */
static void ask_guard(char **argv) {
  uint32_t pool = (uint32_t)strtoul(argv[0], NULL, 10);
  int own = -1, got = -1;
  char path[4096];
  tell(owners(0, 0, &got), "owners from 0");
  tell(owners(pool, 1000, &got), "owners of the group 1000");
  tell(owners(pool + 1, pool, &got), "owners from the middle of a range");
  tell(owners(pool, pool, &own), "owners of a container");
  int self = open("/proc/self/ns/user", O_RDONLY);
  tell(map_owners(clone_of(argv[1]), self), "map by the daemon's user namespace");
  tell(map_owners(clone_of(argv[1]), open("/dev/null", O_RDONLY)), "map by something else");
  tell(bind_of("/etc", self, &got), "bind /etc by the daemon's user namespace");
  static const char *const paths[] = {"/", "/etc", "/etc/shadow", "/proc/1/root", ""};
  for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) tell(bind_of(paths[i], own, &got), "bind %s", paths[i]);
  static const char *const beyond[] = {"/../../etc", "/link", "/link/shadow", "x/../../etc", "/free/../../../etc"};
  for (unsigned i = 0; i < sizeof beyond / sizeof *beyond; i++) {
    snprintf(path, sizeof path, "%s%s", argv[1], beyond[i]);
    tell(bind_of(path, own, &got), "bind BINDS%s", beyond[i]);
  }
  tell(bind_of(argv[1], own, &got), "bind BINDS");
  tell(clear(got, NO_DEVICES), "allow devices in it");
  tell(clear(got, NO_SETUID), "allow setuid programs in it");
  tell(bind_of(argv[2], own, &got), "bind FIXED");
  tell(clear(got, READ_ONLY), "allow to write it");
  snprintf(path, sizeof path, "/proc/self/fd/%d/file", got);
  tell(open(path, O_WRONLY), "write its file");
  tell(published(AF_INET, SOCK_STREAM, IPPROTO_TCP, "127.0.0.1", 83), "publish a port that is not allowed");
  tell(published(AF_INET, SOCK_STREAM, IPPROTO_TCP, "127.0.0.1", 0), "publish any port");
  tell(published(AF_INET, SOCK_STREAM, IPPROTO_TCP, "0.0.0.0", 81), "publish at an address that is not allowed");
  tell(published(AF_INET6, SOCK_STREAM, IPPROTO_TCP, "::1", 81), "publish at another family's");
  tell(published(AF_INET, SOCK_RAW, IPPROTO_ICMP, "127.0.0.1", 81), "a raw socket");
  tell(published(17, SOCK_RAW, 0, "127.0.0.1", 81), "a packet socket");
  tell(published(16, SOCK_RAW, 0, "127.0.0.1", 81), "a netlink socket");
  tell(datagrams(82), "publish datagrams");
  tell(datagrams(82), "publish datagrams where others have them");
  struct keeper_request unknown = {99};
  tell(asked(&unknown, NULL, 0, NULL, 0), "an unknown request");
  int guard = keeper_connect(guard_path);
  char answer[64];
  tell(send(guard, "?", 1, 0) == 1 && recv(guard, answer, sizeof answer, 0) > 0 ? 0 : (errno = ECONNRESET, -1), "half a request");
}

/* owned POOL: files of others are nobody's through a container's maps, also for root in the container's user namespace. */
static void look_through(uint32_t pool) {
  int own = -1, mnt = clone_of("/etc");
  tell(mnt, "clone /etc");
  tell(owners(pool, pool, &own), "owners of a container");
  tell(map_owners(mnt, own), "map /etc");
  tell(openat(mnt, "shadow", O_RDONLY), "read its shadow");
  tell(openat(mnt, "passwd", O_WRONLY), "write its passwd");
  tell(fchownat(mnt, "passwd", 0, 0, 0), "chown its passwd");
  tell(mkdirat(mnt, "taken", 0755), "mkdir in it");
}

/* race POOL DIRECTORY LINK ROUNDS: asks for the directory, which is exchanged for a link to /etc again and again. */
static void race(char **argv) {
  int own = -1, rounds = atoi(argv[3]);
  struct stat etc, root, given;
  unsigned escaped = 0, taken = 0, refused = 0;
  stat("/etc", &etc);
  stat("/", &root);
  if (owners((uint32_t)strtoul(argv[0], NULL, 10), (uint32_t)strtoul(argv[0], NULL, 10), &own) < 0) exit(1);
  pid_t pid = fork();
  if (pid == 0) {
    for (unsigned round = 0;; round++) {
      syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE);
      for (volatile unsigned spin = 0; spin < (round * 7919u) % 40000u; spin++);
    }
  }
  for (int i = 0; i < rounds; i++) {
    int mnt = -1;
    if (bind_of(argv[1], own, &mnt) < 0) {
      refused++;
      continue;
    }
    taken++;
    if (fstat(mnt, &given) < 0 || (given.st_ino == etc.st_ino && given.st_dev == etc.st_dev)) escaped++;
    close(mnt);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  printf("escaped\t%u\ntaken\t%s\nrefused\t%s\n", escaped, taken > 0 ? "some" : "none", refused > 0 ? "some" : "none");
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  guard_path = argv[1];
  if (strcmp(argv[2], "host") == 0) ask_kernel(argc - 3, argv + 3);
  else if (strcmp(argv[2], "mount") == 0) mount_over(argv[3]);
  else if (strcmp(argv[2], "guard") == 0) ask_guard(argv + 3);
  else if (strcmp(argv[2], "through") == 0) look_through((uint32_t)strtoul(argv[3], NULL, 10));
  else if (strcmp(argv[2], "race") == 0) race(argv + 3);
  else return 2;
  return 0;
}
