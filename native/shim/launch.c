/*
 * Making children: the container's PID 1 in its new namespaces, and processes in the namespaces of a running container.
 */
#include "shim.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "kernel.h"

static void close_pair(struct stdio_pair *pipes) {
  for (int i = 0; i < 3; i++) {
    if (pipes->ours[i] >= 0) close(pipes->ours[i]);
    if (pipes->theirs[i] >= 0) close(pipes->theirs[i]);
    pipes->ours[i] = pipes->theirs[i] = -1;
  }
}

/* Pipes for stdin (if wanted), stdout and stderr; with a terminal, nothing: the child opens it and hands over its master. */
int make_pipes(struct stdio_pair *pipes, bool tty, bool with_stdin) {
  for (int i = 0; i < 3; i++) pipes->ours[i] = pipes->theirs[i] = -1;
  for (int i = tty ? 3 : with_stdin ? 0 : 1; i < 3; i++) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
      int error = errno;
      close_pair(pipes);
      return -error;
    }
    pipes->ours[i] = i == 0 ? ends[1] : ends[0];
    pipes->theirs[i] = i == 0 ? ends[0] : ends[1];
    fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK);
  }
  return 0;
}

static pid_t clone_child(uint64_t flags, int *pidfd, int cgroup) {
  struct clone_args args = {
      .flags = flags | CLONE_PIDFD,
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
  };
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (uint64_t)cgroup;
  }
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* In the child, first of all: its stdio, and every other descriptor closed when it executes something. */
static void settle(const struct stdio_pair *pipes) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  setsid();
  umask(0);
  for (int i = 0; i < 3; i++) {
    if (pipes->theirs[i] >= 0) dup2(pipes->theirs[i], i);
  }
  sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
}

/*
 * In a new process of the shim's: closes what would keep others waiting for a shim that is dead. Its own end of the status
 * socket tells the child of the shim's end, even when that came before PR_SET_PDEATHSIG; the listening socket refuses.
 */
static void leave_shim(int ours) {
  close(ours);
  close(LISTENER_FD);
}

static int status_sockets(int *ours, int *theirs) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  *ours = ends[0];
  *theirs = ends[1];
  return 0;
}

static void close_theirs(struct stdio_pair *pipes) {
  for (int i = 0; i < 3; i++) {
    if (pipes->theirs[i] >= 0) close(pipes->theirs[i]);
    pipes->theirs[i] = -1;
  }
}

int launch_container(const struct shim_plan *plan, const uint8_t *ops, size_t length, pid_t *pid, int *pidfd, int *status,
                     struct stdio_pair *pipes) {
  int theirs;
  int result = status_sockets(status, &theirs);
  if (result < 0) return result;
  scoped_fd int cgroup = plan->cgroup_path ? open(plan->cgroup_path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (plan->cgroup_path && cgroup < 0) return -errno;
  scoped_fd int own_pids = plan->pid_namespace >= 0 ? open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) : -1;
  if (plan->pid_namespace >= 0 && (own_pids < 0 || setns(plan->pid_namespace, CLONE_NEWPID) < 0)) return -errno;
  *pid = clone_child(plan->shim.clone_flags, pidfd, cgroup);
  if (*pid == 0) {
    leave_shim(*status);
    settle(pipes);
    run_plan(ops, length, theirs, false);
  }
  int error = errno;
  /* Only the container is born there: a go-between must speak of processes by the numbers that the shim knows. */
  if (own_pids >= 0 && setns(own_pids, CLONE_NEWPID) < 0 && *pid > 0) {
    error = errno;
    sys_pidfd_send_signal(*pidfd, SIGKILL);
    *pid = -1;
  }
  close(theirs);
  close_theirs(pipes);
  return *pid < 0 ? -error : 0;
}

/*
 * The go-between of an exec: enters the container's cgroup and namespaces, makes the process as a child of the shim (so
 * that the shim learns how it ends), says which it is, and ends.
 */
_Noreturn static void go_between(const struct shim_plan *plan, const uint8_t *ops, size_t length, int container_pidfd,
                                 int status, const struct stdio_pair *pipes) {
  child.status = status;
  struct report report = {.kind = REPORT_FAILED, .op = OP_EXEC_INTO};
  const uint8_t *at = ops, *end = ops + length;
  /* cgroups are host paths: they come before the namespaces. Only they are executed here. */
  while ((size_t)(end - at) >= WIRE_HEADER) {
    uint32_t size;
    uint16_t code;
    memcpy(&size, at, 4);
    memcpy(&code, at + 4, 2);
    if ((size_t)(end - at) - WIRE_HEADER < size) break;
    int result = code == OP_JOIN_CGROUP ? do_join_cgroup(at + WIRE_HEADER, size) : 0;
    if (result < 0) {
      report.op = code;
      report.error = (uint32_t)-result;
      memcpy(report.detail, child.detail, sizeof report.detail);
      send_report(&report, -1);
      _exit(1);
    }
    at += WIRE_HEADER + size;
  }
  int pidfd = -1;
  pid_t pid = -1;
  if (setns(container_pidfd, (int)plan->namespaces) == 0) pid = clone_child(CLONE_PARENT, &pidfd, -1);
  if (pid == 0) {
    settle(pipes);
    run_plan(ops, length, status, true);
  }
  report.kind = pid < 0 ? REPORT_FAILED : REPORT_PID;
  report.error = pid < 0 ? (uint32_t)errno : 0;
  report.pid = pid;
  send_report(&report, pid < 0 ? -1 : pidfd);
  _exit(0);
}

int launch_exec(const struct shim_plan *plan, const uint8_t *ops, size_t length, int container_pidfd, pid_t *helper,
                int *status, struct stdio_pair *pipes) {
  int theirs;
  int result = status_sockets(status, &theirs);
  if (result < 0) return result;
  *helper = fork();
  if (*helper == 0) {
    leave_shim(*status);
    go_between(plan, ops, length, container_pidfd, theirs, pipes);
  }
  int error = errno;
  close(theirs);
  close_theirs(pipes);
  return *helper < 0 ? -error : 0;
}
