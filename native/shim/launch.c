/*
 * Making children: the container's PID 1 in its new namespaces, and processes in the namespaces of a running container.
 */
#include "shim.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

/*
 * In the child, first of all: its stdio, and every other descriptor closed when it executes something. Until then nobody in
 * the container may look into it, although it comes to have no more rights than they have (CVE-2016-9962).
 */
static void settle(const struct stdio_pair *pipes) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
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
  close(OWNER_FD);
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

/* Executes, with the host's rights, what stands before the plan's border; ends here if that fails. */
static void prepare_outside(const uint8_t *ops, size_t length, int status) {
  if (run_outside(ops, length, status) < 0) _exit(1);
}

/* Says which process has been made, or why none has, and ends. */
_Noreturn static void tell_made(int status, uint16_t op, pid_t pid, int pidfd, int error) {
  struct report report = {.kind = pid < 0 ? REPORT_FAILED : REPORT_PID, .op = op, .pid = pid};
  report.error = pid < 0 ? (uint32_t)error : 0;
  child.status = status;
  send_report(&report, pid < 0 ? -1 : pidfd);
  _exit(0);
}

/*
 * The go-between of a container with a user namespace: prepares with the host's rights what the container has no right to,
 * in a mount namespace that goes with it, enters the user namespace, and makes the child there as a child of the shim.
 */
_Noreturn static void container_between(const struct shim_plan *plan, const uint8_t *ops, size_t length, int status,
                                        const struct stdio_pair *pipes) {
  int pidfd = -1;
  pid_t pid = -1;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  for (int i = 0; i < 3; i++) {
    if (pipes->theirs[i] >= 0) dup2(pipes->theirs[i], i);
  }
  if (unshare(CLONE_NEWNS) < 0) tell_made(status, OP_USER_NS, -1, -1, errno);
  prepare_outside(ops, length, status);
  bool joined = plan->pid_namespace < 0 || setns(plan->pid_namespace, CLONE_NEWPID) == 0;
  /* Its root already: what the kernel makes with a namespace belongs to whoever makes that. */
  bool entered = joined && setns(plan->user_namespace, CLONE_NEWUSER) == 0 && do_enter(NULL, 0) == 0;
  if (entered) pid = clone_child(plan->shim.clone_flags | CLONE_PARENT, &pidfd, -1);
  if (pid == 0) {
    settle(pipes);
    run_plan(ops, length, status, false);
  }
  tell_made(status, OP_USER_NS, pid, pidfd, errno);
}

/*
 * The go-between of a container in another's PID namespace, where the shim could not come back from there: the host's belongs to
 * a user namespace in which a daemon without root has no rights.
 */
_Noreturn static void container_elsewhere(const struct shim_plan *plan, const uint8_t *ops, size_t length, int status,
                                          const struct stdio_pair *pipes) {
  int pidfd = -1;
  pid_t pid = -1;
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (setns(plan->pid_namespace, CLONE_NEWPID) == 0) pid = clone_child(plan->shim.clone_flags | CLONE_PARENT, &pidfd, -1);
  if (pid == 0) {
    settle(pipes);
    run_plan(ops, length, status, false);
  }
  tell_made(status, OP_JOIN_PID_NS, pid, pidfd, errno);
}

int launch_container(const struct shim_plan *plan, const uint8_t *ops, size_t length, struct process *container,
                     struct stdio_pair *pipes) {
  int theirs;
  int result = status_sockets(&container->status, &theirs);
  if (result < 0) return result;
  bool between = plan->user_namespace >= 0;
  scoped_fd int cgroup = plan->cgroup_path ? open(plan->cgroup_path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (plan->cgroup_path && cgroup < 0) return -errno;
  bool elsewhere = plan->pid_namespace >= 0 && !between;
  scoped_fd int own_pids = elsewhere ? open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC) : -1;
  if (elsewhere && own_pids < 0) return -errno;
  /* Going there from here is asked for what coming back will be. */
  bool returns = elsewhere && setns(own_pids, CLONE_NEWPID) == 0;
  if (elsewhere && !returns) between = true;
  if (returns && setns(plan->pid_namespace, CLONE_NEWPID) < 0) return -errno;
  int pidfd = -1;
  pid_t pid = clone_child(between ? 0 : plan->shim.clone_flags, &pidfd, cgroup);
  if (pid == 0) {
    leave_shim(container->status);
    if (elsewhere && !returns) container_elsewhere(plan, ops, length, theirs, pipes);
    if (between) container_between(plan, ops, length, theirs, pipes);
    settle(pipes);
    run_plan(ops, length, theirs, false);
  }
  int error = errno;
  /* Only the container is born there: a go-between must speak of processes by the numbers that the shim knows. */
  if (returns && setns(own_pids, CLONE_NEWPID) < 0 && pid > 0) {
    error = errno;
    sys_pidfd_send_signal(pidfd, SIGKILL);
    pid = -1;
  }
  close(theirs);
  close_theirs(pipes);
  if (pid < 0) return -error;
  if (between) {
    close(pidfd);
    container->helper = pid;
  } else {
    container->pid = pid;
    container->pidfd = pidfd;
  }
  return 0;
}

/* Lets go of everything but stdio and one descriptor, before there is a process that a container sees. */
static void keep_only(int kept) {
  if (kept > 3) sys_close_range(3, (unsigned)kept - 1, 0);
  sys_close_range((unsigned)kept + 1, ~0u, 0);
}

/* Whether a process is in the shim's own namespace of a kind. */
static bool is_shared(pid_t pid, const char *kind) {
  char path[64];
  struct stat own, theirs;
  snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
  if (stat(path, &own) < 0) return false;
  snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kind);
  return stat(path, &theirs) == 0 && own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
}

/*
 * Enters a container's namespaces of these types. Those of the host, which a container may share, a shim without root has no
 * right to enter; it is in them already.
 */
static int enter_namespaces(const struct process *container, int types) {
  static const struct {
    const char *kind;
    int type;
  } sharable[] = {{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC}, {"net", CLONE_NEWNET}, {"pid", CLONE_NEWPID}, {"uts", CLONE_NEWUTS}};
  if (setns(container->pidfd, types) == 0) return 0;
  if (errno != EPERM) return -1;
  for (size_t i = 0; i < sizeof sharable / sizeof *sharable; i++) {
    if (is_shared(container->pid, sharable[i].kind)) types &= ~sharable[i].type;
  }
  return setns(container->pidfd, types);
}

/*
 * The go-between of an exec: enters the container's cgroup and namespaces, makes the process as a child of the shim (so
 * that the shim learns how it ends), says which it is, and ends. cgroups are host paths: they come before the namespaces.
 */
_Noreturn static void go_between(const struct shim_plan *plan, const uint8_t *ops, size_t length,
                                 const struct process *container, int status, const struct stdio_pair *pipes) {
  int pidfd = -1;
  pid_t pid = -1;
  for (int i = 0; i < 3; i++) {
    if (pipes->theirs[i] >= 0) dup2(pipes->theirs[i], i);
  }
  prepare_outside(ops, length, status);
  if (enter_namespaces(container, (int)plan->namespaces) == 0) {
    keep_only(status);
    pid = clone_child(CLONE_PARENT, &pidfd, -1);
  }
  if (pid == 0) {
    settle(pipes);
    run_plan(ops, length, status, true);
  }
  tell_made(status, OP_EXEC_INTO, pid, pidfd, errno);
}

int launch_exec(const struct shim_plan *plan, const uint8_t *ops, size_t length, const struct process *container,
                pid_t *helper, int *status, struct stdio_pair *pipes) {
  int theirs;
  int result = status_sockets(status, &theirs);
  if (result < 0) return result;
  *helper = fork();
  if (*helper == 0) {
    leave_shim(*status);
    go_between(plan, ops, length, container, theirs, pipes);
  }
  int error = errno;
  close(theirs);
  close_theirs(pipes);
  return *helper < 0 ? -error : 0;
}
