/*
 * berth-helper confine [online] PATH… -- PROGRAM ARGUMENT…: executes a program that works on what is hostile. It may read and execute what
 * is below the paths, change what is below those that a plus sign is before, and nothing else of the file system (Landlock, where the
 * kernel has it); it reaches no process outside. As root's child it is nobody, and has a network of its own with nothing in it;
 * online it stays who it is, in the same network, but with the right to read alone of all that root may do. What has failed is
 * said on stderr.
 */
#include "helper.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
/* landlock(7); the header of the oldest system that this is built on knows the first two versions only. */
#define LANDLOCK_CREATE 444
#define LANDLOCK_ADD 445
#define LANDLOCK_RESTRICT 446
#define ABI_VERSION 1u
#define RULE_PATH_BENEATH 1
#define FS_EXECUTE 1u
#define FS_WRITE_FILE 2u
#define FS_READ_FILE 4u
#define FS_READ_DIR 8u
#define FS_MAKE_CHAR (1u << 6)
#define FS_MAKE_SOCK (1u << 9)
#define FS_MAKE_BLOCK (1u << 11)
#define FS_TRUNCATE (1u << 14)
#define FS_IOCTL_DEVICE (1u << 15)
#define NET_BIND_TCP 1u

struct ruleset {
  uint64_t fs, net, scoped;
};
struct path_rule {
  uint64_t allowed;
  int32_t parent;
} __attribute__((packed));

static int said(const char *what) {
  fprintf(stderr, "berth-helper: confine: %s: %s\n", what, strerror(errno));
  return 1;
}

/* Every right that this version of Landlock knows; a size that the kernel knows, too. */
static struct ruleset everything(long abi, size_t *size) {
  struct ruleset all = {.fs = 0x1fff};
  if (abi >= 2) all.fs |= 1u << 13;
  if (abi >= 3) all.fs |= 1u << 14;
  if (abi >= 5) all.fs |= 1u << 15;
  if (abi >= 4) all.net = 3;
  if (abi >= 6) all.scoped = 3;
  *size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  return all;
}

/* A path, with a plus sign before one that may be changed. `known`: the rights that this version has. */
static int allow(int rules, const char *word, uint64_t known) {
  bool changed = *word == '+';
  int fd = open(word + changed, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  struct stat info;
  struct path_rule rule = {.allowed = FS_EXECUTE | FS_READ_FILE, .parent = fd};
  bool directory = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  if (directory) rule.allowed |= FS_READ_DIR;
  if (changed) rule.allowed |= FS_WRITE_FILE | (known & FS_TRUNCATE);
  if (changed && directory) rule.allowed |= known & ~(uint64_t)(FS_MAKE_CHAR | FS_MAKE_SOCK | FS_MAKE_BLOCK | FS_IOCTL_DEVICE);
  long result = syscall(LANDLOCK_ADD, rules, RULE_PATH_BENEATH, &rule, 0);
  close(fd);
  return (int)result;
}

/* A kernel without Landlock leaves it at what else there is. */
static int restrict_files(char **paths, bool online) {
  long abi = syscall(LANDLOCK_CREATE, NULL, 0, ABI_VERSION);
  if (abi < 0) return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
  size_t size;
  struct ruleset all = everything(abi, &size);
  if (online) all.net &= NET_BIND_TCP;
  int rules = (int)syscall(LANDLOCK_CREATE, &all, size, 0);
  if (rules < 0) return -1;
  for (; strcmp(*paths, "--") != 0; paths++) {
    if (allow(rules, *paths, all.fs) < 0) return -1;
  }
  return syscall(LANDLOCK_RESTRICT, rules, 0) < 0 ? -1 : close(rules);
}

/* In a user namespace without that number it stays who it is. */
static int become_nobody(void) {
  if (unshare(CLONE_NEWNET) < 0 && errno != EPERM) return -1;
  if (setgroups(0, NULL) < 0 && errno != EPERM) return -1;
  if (setresgid(NOBODY, NOBODY, NOBODY) < 0) return errno == EINVAL ? 0 : -1;
  return setresuid(NOBODY, NOBODY, NOBODY);
}

/* Whoever is root executes nothing with more than is in the bounding set. */
static int keep_reading(void) {
  for (int capability = 0; capability < 64; capability++) {
    if (capability != CAP_DAC_READ_SEARCH && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return errno == EINVAL ? 0 : -1;
  }
  return 0;
}

static int lessen(bool online) {
  if (geteuid() != 0) return 0;
  return online ? keep_reading() : become_nobody();
}

int run_confined(int argc, char **argv) {
  if (argc < 3 || strcmp(argv[1], "confine") != 0) return -1;
  bool online = strcmp(argv[2], "online") == 0;
  int first = online ? 3 : 2, mark = first;
  while (mark < argc && strcmp(argv[mark], "--") != 0) mark++;
  if (mark + 1 >= argc) {
    fprintf(stderr, "usage: berth-helper confine [online] [+]PATH... -- PROGRAM ARGUMENT...\n");
    return 2;
  }
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0 || (!online && setrlimit(RLIMIT_FSIZE, &none) < 0)) return said("limits");
  if (lessen(online) < 0) return said("have fewer rights");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return said("no_new_privs");
  if (restrict_files(argv + first, online) < 0) return said("Landlock");
  execv(argv[mark + 1], argv + mark + 1);
  return said(argv[mark + 1]);
}
