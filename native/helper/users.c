/*
 * User namespaces, and what they own. Whoever makes one is in it, and there is no way back: each is made by a child, which
 * shares this program's descriptors, opens what has been made, and ends.
 */
#include "helper.h"

#include "../keeper.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What the child has to say: its name in the /proc that this process sees, and the descriptor that it has opened. */
struct made {
  char process[32];
  int fd, error;
};

_Noreturn static void be_child(pid_t parent, int said, int hold, const char *file, int owner) {
  struct made made = {.fd = -1};
  char end;
  /* Whoever waits below would wait for ever, with all descriptors, for a parent that has been killed. */
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != parent) _exit(1);
  if (owner >= 0 && (setns(owner, CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNET) < 0)) made.error = errno;
  if (made.error == 0 && readlink("/proc/self", made.process, sizeof made.process - 1) <= 0) made.error = errno;
  if (made.error == 0 && (made.fd = open(file, O_RDONLY | O_CLOEXEC)) < 0) made.error = errno;
  if (write(said, &made, sizeof made) != (ssize_t)sizeof made) _exit(1);
  /* Until its maps have been written; the other end is in a table that both have. */
  _exit(hold < 0 ? 0 : read(hold, &end, 1) < 0);
}

static int write_map(const char *process, const char *file, const char *map) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/%s", process, file);
  scoped_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd < 0 || write(fd, map, strlen(map)) < 0 ? -errno : 0;
}

/* Makes a child that makes a namespace; `maps`: of a user namespace. Gives the descriptor, or a negative errno. */
static int from_child(int flags, const char *file, int owner, const struct helper_userns_new *maps) {
  int said[2], hold[2];
  struct made made = {.error = EIO};
  if (pipe2(said, O_CLOEXEC) < 0) return -errno;
  if (pipe2(hold, O_CLOEXEC) < 0) {
    int error = errno;
    close(said[0]);
    close(said[1]);
    return -error;
  }
  pid_t parent = getpid();
  pid_t pid = (pid_t)syscall(SYS_clone, flags | CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) be_child(parent, said[1], maps == NULL ? -1 : hold[0], file, owner);
  if (pid < 0) made.error = errno;
  else if (read(said[0], &made, sizeof made) != (ssize_t)sizeof made || made.error < 0 || (made.error == 0 && made.fd < 0)) made.error = EIO;
  int result = made.error == 0 ? 0 : -made.error;
  if (result == 0 && maps != NULL) result = write_map(made.process, "uid_map", maps->uid_map);
  if (result == 0 && maps != NULL) result = write_map(made.process, "gid_map", maps->gid_map);
  if (pid > 0 && maps != NULL && write(hold[1], "", 1) < 0) kill(pid, SIGKILL);
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  for (int i = 0; i < 2; i++) {
    close(said[i]);
    close(hold[i]);
  }
  if (result < 0 && pid > 0 && made.fd >= 0) close(made.fd);
  return result < 0 ? result : made.fd;
}

int write_maps(pid_t pid, const char *uid_map, const char *gid_map) {
  char process[32];
  snprintf(process, sizeof process, "%d", (int)pid);
  int result = write_map(process, "uid_map", uid_map);
  return result < 0 ? result : write_map(process, "gid_map", gid_map);
}

int mapped_namespace(const char *uid_map, const char *gid_map) {
  struct helper_userns_new maps = {.uid_map = uid_map, .gid_map = gid_map};
  return from_child(CLONE_NEWUSER, "/proc/self/ns/user", -1, &maps);
}

int handle_owners_new(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_owners_new request;
  if (!helper_owners_new_read(&request, body, length)) return fail(out, EPROTO, "owners_new");
  struct keeper_request ask = {KEEPER_OWNERS, .uid = request.uid, .gid = request.gid};
  int fd = -1, keeper = keeper_fd();
  int result = keeper < 0 ? -ENOSYS : keeper_ask(keeper, &ask, NULL, 0, &fd, 1);
  if (result < 0) return fail(out, -result, "owners from the ids %u and %u on", request.uid, request.gid);
  out->value = (uint64_t)fd;
  return 0;
}

int handle_userns_new(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_userns_new request;
  if (!helper_userns_new_read(&request, body, length)) return fail(out, EPROTO, "userns_new");
  int fd = from_child(CLONE_NEWUSER, "/proc/self/ns/user", -1, &request);
  if (fd < 0) return fail(out, -fd, "make a user namespace");
  out->value = (uint64_t)fd;
  return 0;
}

int owned_netns(struct answer *out, int owner) {
  int fd = from_child(0, "/proc/self/ns/net", owner, NULL);
  if (fd < 0) return fail(out, -fd, "make a network namespace of a user namespace");
  out->value = (uint64_t)fd;
  return 0;
}

int handle_probe_owners(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_probe_owners request;
  if (!helper_probe_owners_read(&request, body, length)) return fail(out, EPROTO, "probe_owners");
  unsigned recursive = request.recursive ? AT_RECURSIVE : 0;
  scoped_fd int mnt = (int)syscall(SYS_open_tree, AT_FDCWD, request.path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
  if (mnt < 0) return fail(out, errno, "open %s", request.path);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = request.userns};
  int result = syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH | recursive, &attr, sizeof attr) == 0 ? 0 : -errno;
  if (result == -EPERM && keeper_fd() >= 0) result = keeper_map(keeper_fd(), mnt, (int)request.userns, recursive != 0);
  return result < 0 ? fail(out, -result, "owners of %s", request.path) : 0;
}
