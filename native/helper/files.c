/*
 * Device nodes, extended attributes, reads that stay inside a root, and trying out mounts.
 */
#include "helper.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

int handle_mknod(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_mknod request;
  if (!helper_mknod_read(&request, body, length)) return fail(out, EPROTO, "mknod");
  /* mknod never follows a symlink in the last component; permissions are set as asked, whatever the umask. */
  mode_t before = umask(0);
  int result = mknod(request.path, request.mode, makedev(request.major, request.minor));
  int error = errno;
  umask(before);
  return result < 0 ? fail(out, error, "mknod %s", request.path) : 0;
}

int handle_set_xattr(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_set_xattr request;
  if (!helper_set_xattr_read(&request, body, length)) return fail(out, EPROTO, "set_xattr");
  if (lsetxattr(request.path, request.attribute, request.value.data, request.value.length, 0) < 0) {
    return fail(out, errno, "set %s on %s", request.attribute, request.path);
  }
  return 0;
}

int handle_get_xattrs(struct answer *out, const uint8_t *body, size_t length) {
  static char names[65536];
  static uint8_t value[65536];
  struct helper_get_xattrs request;
  if (!helper_get_xattrs_read(&request, body, length)) return fail(out, EPROTO, "get_xattrs");
  ssize_t n = llistxattr(request.path, names, sizeof names);
  if (n < 0 && errno == ENOTSUP) return 0;
  if (n < 0) return fail(out, errno, "list attributes of %s", request.path);
  struct wire_writer w = {out->buffer, ANSWER_SIZE, 0};
  for (const char *name = names; name < names + n; name += strlen(name) + 1) {
    ssize_t size = lgetxattr(request.path, name, value, sizeof value);
    if (size < 0) continue; /* removed in between, or not ours to read */
    wire_put_str(&w, name);
    wire_put_bytes(&w, value, (size_t)size);
  }
  if (w.length > w.size) return fail(out, E2BIG, "attributes of %s", request.path);
  out->length = w.length;
  return 0;
}

int handle_read_in_root(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_read_in_root request;
  if (!helper_read_in_root_read(&request, body, length)) return fail(out, EPROTO, "read_in_root");
  scoped_fd int root = open(request.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return fail(out, errno, "open %s", request.root);
  struct open_how how = {
      .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  scoped_fd int fd = (int)syscall(SYS_openat2, root, request.path, &how, sizeof how);
  if (fd < 0) return fail(out, errno, "open %s", request.path);
  struct stat info;
  if (fstat(fd, &info) < 0) return fail(out, errno, "stat %s", request.path);
  if (!S_ISREG(info.st_mode)) return fail(out, EINVAL, "%s is not a regular file", request.path);
  size_t most = request.max < ANSWER_SIZE ? request.max : ANSWER_SIZE - 1;
  while (out->length <= most) {
    ssize_t n = read(fd, out->buffer + out->length, most + 1 - out->length);
    if (n < 0) return fail(out, errno, "read %s", request.path);
    if (n == 0) return 0;
    out->length += (size_t)n;
  }
  out->length = 0;
  return fail(out, EFBIG, "%s is larger than %zu bytes", request.path, most);
}

/* Makes a mount that is attached nowhere; gives its descriptor, or a negative errno. */
static int make_mount(const char *type, struct wire_list params) {
  scoped_fd int fs = (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
  if (fs < 0) return -errno;
  uint32_t count = params.count;
  for (uint32_t i = 0; i < count; i++) {
    char *param = strdup(wire_next_str(&params));
    if (param == NULL) return -ENOMEM;
    char *equals = strchr(param, '=');
    /* "lowerdir+=/x" sets the key "lowerdir+". */
    if (equals != NULL) *equals = '\0';
    long r = equals != NULL ? syscall(SYS_fsconfig, fs, 1 /* SET_STRING */, param, equals + 1, 0)
                            : syscall(SYS_fsconfig, fs, 0 /* SET_FLAG */, param, NULL, 0);
    int error = errno;
    free(param);
    if (r < 0) return -error;
  }
  if (syscall(SYS_fsconfig, fs, 6 /* CMD_CREATE */, NULL, NULL, 0) < 0) return -errno;
  int mnt = (int)syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
  return mnt < 0 ? -errno : mnt;
}

/* A mount that no namespace has: it is reached by its descriptor alone, and goes with it. */
int handle_detached_mount(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_detached_mount request;
  if (!helper_detached_mount_read(&request, body, length)) return fail(out, EPROTO, "detached_mount");
  int mnt = make_mount(request.type, request.params);
  if (mnt < 0) return fail(out, -mnt, "mount of %s", request.type);
  out->value = (uint64_t)mnt;
  return 0;
}

/* In the child: a private mount namespace that vanishes with it. Gives an errno. */
static int try_mount(const struct helper_probe_mount *request) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return errno;
  int mnt = make_mount(request->type, request->params);
  if (mnt < 0) return -mnt;
  if (request->target[0] == '\0') return 0;
  long r = syscall(SYS_move_mount, mnt, "", AT_FDCWD, request->target, 4 /* F_EMPTY_PATH */);
  return r < 0 ? errno : 0;
}

int handle_probe_mount(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_probe_mount request;
  if (!helper_probe_mount_read(&request, body, length)) return fail(out, EPROTO, "probe_mount");
  pid_t pid = fork();
  if (pid < 0) return fail(out, errno, "fork");
  if (pid == 0) _exit(try_mount(&request));
  int status;
  if (waitpid(pid, &status, 0) < 0) return fail(out, errno, "wait");
  if (!WIFEXITED(status)) return fail(out, EIO, "mount of %s", request.type);
  return WEXITSTATUS(status) == 0 ? 0 : fail(out, WEXITSTATUS(status), "mount of %s", request.type);
}
