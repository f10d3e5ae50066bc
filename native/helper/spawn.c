/*
 * Starting shims. The program is kept in sealed memory: a container that reaches its supervisor's /proc/PID/exe finds
 * something that nobody can write (CVE-2019-5736).
 */
#include "helper.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#define FIRST_HANDLE 10
#define LISTENER_FD 3
#define KEEPER_FD 4

/* What every shim has beside handles, at numbers of its own. */
struct own_ends {
  int listener;
  int keeper; /* -1: none */
  int owner;
};

static int shim_fd = -1;
static int null_fd = -1;

int keep_shim(const char *path) {
  scoped_fd int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  struct stat info;
  if (null_fd < 0 || fstat(file, &info) < 0) return -1;
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  shim_fd = memfd_create("berth-shim", flags | MFD_EXEC);
  if (shim_fd < 0 && errno == EINVAL) shim_fd = memfd_create("berth-shim", flags);
  if (shim_fd < 0) return -1;
  for (off_t left = info.st_size; left > 0;) {
    ssize_t n = sendfile(shim_fd, file, NULL, (size_t)left);
    if (n <= 0) return -1;
    left -= n;
  }
  if (fchmod(shim_fd, 0500) < 0) return -1;
  return fcntl(shim_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

/* A listening socket at rundir/shim.sock; the name is given through /proc/self/fd, so that no path is too long. */
static int listen_in(const char *rundir) {
  scoped_fd int dir = open(rundir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/shim.sock", dir);
  mode_t before = umask(0177);
  int result = bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (result < 0 || listen(fd, 64) < 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

/* In the vforked child: arranges the descriptors and becomes the shim. Returns only on failure. */
static void become_shim(const char *rundir, const int *moved, uint32_t count, const struct own_ends *own) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  char *argv[] = {"berth-shim", (char *)rundir, NULL};
  char *envp[] = {NULL};
  if (setsid() < 0 || chdir("/") < 0) return;
  for (int i = 0; i < 3; i++) {
    if (dup2(null_fd, i) < 0) return;
  }
  if (dup2(own->listener, LISTENER_FD) < 0 || dup2(own->owner, OWNER_FD) < 0) return;
  if (own->keeper >= 0 && dup2(own->keeper, KEEPER_FD) < 0) return;
  for (uint32_t i = 0; i < count; i++) {
    if (dup2(moved[i], FIRST_HANDLE + (int)i) < 0) return;
  }
  /* Everything else is close-on-exec: each descriptor of this program is made so. */
  syscall(SYS_execveat, shim_fd, "", argv, envp, AT_EMPTY_PATH);
}

/* Gives the shim's pid, or a negative errno. Its own frame, since vfork shares the caller's. */
static __attribute__((noinline)) pid_t start_shim(const char *rundir, const int *moved, uint32_t count,
                                                  const struct own_ends *own) {
  static volatile int child_error;
  child_error = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    become_shim(rundir, moved, count, own);
    child_error = errno;
    _exit(127);
  }
  if (pid < 0) return -errno;
  if (child_error == 0) return pid;
  waitpid(pid, NULL, 0);
  return -child_error;
}

#define MAX_HANDLES 4096

int handle_spawn(struct answer *out, const uint8_t *body, size_t length) {
  static int moved[MAX_HANDLES];
  struct helper_spawn request;
  if (!helper_spawn_read(&request, body, length)) return fail(out, EPROTO, "spawn");
  if (request.handles.count > MAX_HANDLES) return fail(out, E2BIG, "%u handles", request.handles.count);
  int low = FIRST_HANDLE + (int)request.handles.count;
  int result = 0;
  uint32_t count = 0;
  struct wire_list handles = request.handles;
  scoped_fd int bound = listen_in(request.rundir);
  if (bound < 0) return fail(out, errno, "listen at %s/shim.sock", request.rundir);
  scoped_fd int listener = fcntl(bound, F_DUPFD_CLOEXEC, low);
  scoped_fd int owner = fcntl(kept_netlink() < 0 ? null_fd : kept_netlink(), F_DUPFD_CLOEXEC, low);
  if (listener < 0 || owner < 0) return fail(out, errno, "descriptors");
  scoped_fd int connection = keeper_connection();
  if (connection < -1) return fail(out, -connection, "the keeper of the namespaces, which has ended: start the daemon again");
  scoped_fd int keeper = connection < 0 ? -1 : fcntl(connection, F_DUPFD_CLOEXEC, low);
  for (; count < request.handles.count; count++) {
    uint32_t handle = wire_next_u32(&handles);
    moved[count] = fcntl((int)handle, F_DUPFD_CLOEXEC, low);
    if (moved[count] < 0) {
      result = fail(out, errno, "handle %u", handle);
      goto done;
    }
  }
  pid_t pid = start_shim(request.rundir, moved, count, &(struct own_ends){listener, keeper, owner});
  if (pid < 0) {
    result = fail(out, -pid, "start of berth-shim");
  } else {
    out->value = (uint64_t)pid;
  }
done:
  for (uint32_t i = 0; i < count; i++) close(moved[i]);
  return result;
}
