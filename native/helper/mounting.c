/*
 * berth-helper mount, bind, unmount: one mount each in a process of its own, since a server that does not answer may hold
 * the call up for minutes, and this process can be killed meanwhile. What has failed is said on stderr: "ERRNO TEXT".
 */
#include "helper.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MOVE_BOTH_EMPTY (MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
#define UNMOUNT_DETACH 2
#define UNMOUNT_NOFOLLOW 8
#define MOUNT_RECURSIVE 0x4000u

static int said(int error, const char *text) {
  fprintf(stderr, "%d %s\n", error, text);
  return 1;
}

/* The file system's own words, if it has any: lines that begin with their kind ("e "). */
static int explained(int fs, int error) {
  char message[512];
  ssize_t n = read(fs, message, sizeof message - 1);
  if (n <= 2) return said(error, "");
  message[n] = '\0';
  message[strcspn(message, "\n")] = '\0';
  return said(error, message + 2);
}

static int set_param(int fs, char *param) {
  char *equals = strchr(param, '=');
  if (equals == NULL) return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, param, NULL, 0);
  *equals = '\0';
  return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, param, equals + 1, 0);
}

/* What to set, to clear and to propagate; 0 for what stays. */
static int attributes(int mnt, char **numbers, unsigned recursive) {
  struct mount_attr attr = {
      .attr_set = strtoull(numbers[0], NULL, 10),
      .attr_clr = strtoull(numbers[1], NULL, 10),
  };
  uint64_t propagation = strtoull(numbers[2], NULL, 10);
  if ((attr.attr_set || attr.attr_clr) && syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) < 0) return -1;
  struct mount_attr kind = {.propagation = propagation & ~(uint64_t)MOUNT_RECURSIVE};
  recursive = propagation & MOUNT_RECURSIVE ? AT_RECURSIVE : 0;
  return kind.propagation ? (int)syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH | recursive, &kind, sizeof kind) : 0;
}

static int attach(int mnt, const char *target) {
  scoped_fd int at = open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (at < 0) return said(errno, "mount point");
  return syscall(SYS_move_mount, mnt, "", at, "", MOVE_BOTH_EMPTY) < 0 ? said(errno, "") : 0;
}

/* mount TYPE SOURCE TARGET SET CLEAR PROPAGATION; on stdin its parameters, a NUL behind each: everybody may read arguments. */
static int mount_new(int argc, char **argv) {
  static char params[65536];
  size_t have = 0;
  if (argc != 8) return said(EINVAL, "usage");
  for (ssize_t n; (n = read(STDIN_FILENO, params + have, sizeof params - have)) != 0; have += (size_t)n) {
    if (n < 0 || have + (size_t)n == sizeof params) return said(n < 0 ? errno : E2BIG, "options");
  }
  scoped_fd int fs = (int)syscall(SYS_fsopen, argv[2], FSOPEN_CLOEXEC);
  if (fs < 0) return said(errno, "");
  if (argv[3][0] != '\0' && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", argv[3], 0) < 0) return explained(fs, errno);
  for (char *param = params, *next; param < params + have; param = next) {
    next = param + strlen(param) + 1;
    if (set_param(fs, param) < 0) return explained(fs, errno);
  }
  if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return explained(fs, errno);
  scoped_fd int mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
  if (mnt < 0) return explained(fs, errno);
  return attributes(mnt, argv + 5, 0) < 0 ? said(errno, "attributes") : attach(mnt, argv[4]);
}

/* bind RECURSIVE SOURCE TARGET SET CLEAR PROPAGATION */
static int mount_bind(int argc, char **argv) {
  if (argc != 8) return said(EINVAL, "usage");
  unsigned recursive = argv[2][0] == '1' ? AT_RECURSIVE : 0;
  scoped_fd int mnt = (int)syscall(SYS_open_tree, AT_FDCWD, argv[3], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
  if (mnt < 0) return said(errno, "");
  return attributes(mnt, argv + 5, 0) < 0 ? said(errno, "attributes") : attach(mnt, argv[4]);
}

/* unmount TARGET: it is gone from here at once, and for good when nobody has anything open in it. */
static int unmount(int argc, char **argv) {
  if (argc != 3) return said(EINVAL, "usage");
  return syscall(SYS_umount2, argv[2], UNMOUNT_DETACH | UNMOUNT_NOFOLLOW) < 0 ? said(errno, "") : 0;
}

int run_once(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc > 1 && strcmp(argv[1], "mount") == 0) return mount_new(argc, argv);
  if (argc > 1 && strcmp(argv[1], "bind") == 0) return mount_bind(argc, argv);
  if (argc > 1 && strcmp(argv[1], "unmount") == 0) return unmount(argc, argv);
  return -1;
}
