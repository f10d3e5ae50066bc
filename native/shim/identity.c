/*
 * The child's operations that take its rights away, and the last one, which becomes the container's program.
 */
#include "shim.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "kernel.h"

#define READ(type) \
  struct op_##type op; \
  if (!op_##type##_read(&op, body, length)) return failing(EPROTO, #type, NULL)

int do_oom_score_adj(const uint8_t *body, size_t length) {
  READ(oom_score_adj);
  char value[24];
  int size = snprintf(value, sizeof value, "%lld", (long long)op.value);
  int proc = private_proc();
  if (proc < 0) return proc;
  scoped_fd int fd = sys_openat2(proc, "self/oom_score_adj", O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
  if (fd < 0 || write(fd, value, (size_t)size) < 0) return failing(errno, "oom_score_adj", value);
  return 0;
}

int do_rlimit(const uint8_t *body, size_t length) {
  READ(rlimit);
  struct rlimit limit = {.rlim_cur = op.soft, .rlim_max = op.hard};
  char number[16];
  snprintf(number, sizeof number, "%u", op.resource);
  return setrlimit((int)op.resource, &limit) < 0 ? failing(errno, "resource limit", number) : 0;
}

int do_umask(const uint8_t *body, size_t length) {
  READ(umask);
  umask(op.mask);
  return 0;
}

int do_bounding(const uint8_t *body, size_t length) {
  READ(bounding);
  for (unsigned capability = 0; capability < 64; capability++) {
    if (op.mask >> capability & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
      if (errno == EINVAL) return 0; /* beyond the last that this kernel has */
      return failing(errno, "drop a capability from the bounding set", NULL);
    }
  }
  return 0;
}

/* The container dies with its shim. A change of credentials clears the wish, so it is renewed after each. */
static int die_with_parent(void) {
  return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? failing(errno, "PR_SET_PDEATHSIG", NULL) : 0;
}

/* A program that is not root may open /dev/stdout again: the pipes and the terminal are its own. */
static void own_stdio(uid_t uid) {
  for (int fd = 0; fd < 3; fd++) {
    struct stat info;
    if (fstat(fd, &info) < 0 || info.st_uid == uid) continue;
    if (S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3)) continue;
    if (fchown(fd, uid, (gid_t)-1) < 0) continue; /* read-only or foreign: it stays as it is */
  }
}

int do_user(const uint8_t *body, size_t length) {
  static gid_t groups[65536];
  READ(user);
  if (op.groups.count > 65536) return failing(EINVAL, "too many groups", NULL);
  struct wire_list list = op.groups;
  for (uint32_t i = 0; i < op.groups.count; i++) groups[i] = wire_next_u32(&list);
  own_stdio(op.uid);
  if (syscall(SYS_setgroups, op.groups.count, groups) < 0) return failing(errno, "setgroups", NULL);
  if (syscall(SYS_setresgid, op.gid, op.gid, op.gid) < 0) return failing(errno, "setgid", NULL);
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return failing(errno, "PR_SET_KEEPCAPS", NULL);
  if (syscall(SYS_setresuid, op.uid, op.uid, op.uid) < 0) return failing(errno, "setuid", NULL);
  return die_with_parent();
}

int do_enter(const uint8_t *body, size_t length) {
  (void)body;
  (void)length;
  if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0) {
    return failing(errno, "become root of the user namespace", NULL);
  }
  return die_with_parent();
}

int do_stdio_owner(const uint8_t *body, size_t length) {
  READ(stdio_owner);
  own_stdio(op.uid);
  return 0;
}

int do_workdir(const uint8_t *body, size_t length) {
  READ(workdir);
  char where[4096];
  if (chdir(op.path) < 0) {
    if (errno != ENOENT || op.uid == WIRE_NO_OWNER) return failing(errno, "working directory", op.path);
    if (child.root < 0 && (child.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) return failing(errno, "open /", NULL);
    scoped_fd int fd = open_in_root(op.path, true, 0755);
    if (fd < 0) return failing(-fd, "working directory", op.path);
    if ((op.uid || op.gid) && fchownat(fd, "", op.uid, op.gid, AT_EMPTY_PATH) < 0) return failing(errno, "chown", op.path);
    if (fchdir(fd) < 0) return failing(errno, "working directory", op.path);
  }
  /* A directory outside of the root, such as /proc/self/fd/N of a leaked one, has no path (CVE-2024-21626). */
  long n = syscall(SYS_getcwd, where, sizeof where);
  if (n < 0 || where[0] != '/') return failing(EPERM, "working directory is outside of the root:", op.path);
  return 0;
}

int do_capabilities(const uint8_t *body, size_t length) {
  READ(capabilities);
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)op.effective, (uint32_t)op.permitted, (uint32_t)op.inheritable},
      {(uint32_t)(op.effective >> 32), (uint32_t)(op.permitted >> 32), (uint32_t)(op.inheritable >> 32)},
  };
  if (syscall(SYS_capset, &head, data) < 0) return failing(errno, "capset", NULL);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) {
    return failing(errno, "clear ambient capabilities", NULL);
  }
  for (unsigned capability = 0; capability < 64; capability++) {
    if (!(op.ambient >> capability & 1)) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) {
      return failing(errno, "raise an ambient capability", NULL);
    }
  }
  return die_with_parent();
}

int do_no_new_privs(const uint8_t *body, size_t length) {
  (void)body;
  (void)length;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? failing(errno, "no_new_privs", NULL) : 0;
}

int do_seccomp(const uint8_t *body, size_t length) {
  READ(seccomp);
  struct sock_fprog program = {
      .len = (unsigned short)(op.filter.length / sizeof(struct sock_filter)),
      .filter = (struct sock_filter *)(uintptr_t)op.filter.data,
  };
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op.flags, &program) < 0) return failing(errno, "seccomp filter", NULL);
  return 0;
}

int do_label(const uint8_t *body, size_t length) {
  READ(label);
  char path[64];
  int proc = private_proc();
  if (proc < 0) return proc;
  if (snprintf(path, sizeof path, "thread-self/attr/%s", op.file) >= (int)sizeof path) return failing(ENAMETOOLONG, op.file, NULL);
  scoped_fd int fd = sys_openat2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
  if (fd < 0 || write(fd, op.value, strlen(op.value)) < 0) return failing(errno, op.file, op.value);
  return 0;
}

static void unblock_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* PID 1 with --init: passes signals on, reaps what is orphaned, and ends as its one child does. All signals are blocked. */
_Noreturn static void be_init(pid_t main_child) {
  sigset_t all;
  sigfillset(&all);
  sys_close_range(3, ~0u, 0);
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&all, &info) < 0) continue;
    if (info.si_signo != SIGCHLD) {
      kill(main_child, info.si_signo);
      continue;
    }
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid != main_child) continue;
      _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
  }
}

int do_init(const uint8_t *body, size_t length) {
  (void)body;
  (void)length;
  pid_t pid = fork();
  if (pid < 0) return failing(errno, "fork", NULL);
  if (pid > 0) be_init(pid);
  /* A process group of its own, and the terminal's, so that ^C reaches the program and not init too. */
  setpgid(0, 0);
  tcsetpgrp(0, getpid());
  return die_with_parent();
}

#define MAX_STRINGS 65536

static int collect(char **to, struct wire_list list, uint32_t count) {
  if (count >= MAX_STRINGS) return -E2BIG;
  for (uint32_t i = 0; i < count; i++) to[i] = (char *)(uintptr_t)wire_next_str(&list);
  to[count] = NULL;
  return 0;
}

static const char *search_path(char **env) {
  for (; *env != NULL; env++) {
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Tries each directory of PATH; remembers that something was there but could not be executed. */
static int exec_by_name(char **args, char **env) {
  char path[4096];
  int error = ENOENT;
  for (const char *at = search_path(env);; at++) {
    size_t size = strcspn(at, ":");
    int n = snprintf(path, sizeof path, "%.*s%s%s", (int)size, at, size ? "/" : "./", args[0]);
    if (n < (int)sizeof path) {
      struct stat info;
      if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        execve(path, args, env);
        if (errno != ENOENT && errno != EACCES && errno != ENOTDIR) return errno;
        error = errno == ENOENT ? ENOEXEC : errno;
      }
    }
    at += size;
    if (*at == '\0') return error;
  }
}

/* Says that all is prepared and, in a container, waits for the word to go. */
static int await_start(void) {
  struct report report = {.kind = REPORT_PREPARED, .pid = getpid()};
  int sent = send_report(&report, -1);
  if (sent < 0 || child.is_exec) return sent;
  char go;
  /* The end of the socket means that the shim is gone or has given up. */
  if (recv(child.status, &go, 1, 0) != 1) _exit(1);
  return 0;
}

int do_exec(const uint8_t *body, size_t length) {
  static char *args[MAX_STRINGS], *env[MAX_STRINGS];
  READ(exec);
  if (op.args.count == 0) return failing(EINVAL, "no command", NULL);
  if (collect(args, op.args, op.args.count) < 0 || collect(env, op.env, op.env.count) < 0) {
    return failing(E2BIG, "command line", NULL);
  }
  int ready = await_start();
  if (ready < 0) return failing(-ready, "report", NULL);
  unblock_signals();
  if (strchr(args[0], '/') == NULL) return failing(exec_by_name(args, env), args[0], NULL);
  execve(args[0], args, env);
  int error = errno;
  struct stat info;
  /* The file is there: what is missing is its interpreter or loader. */
  if (error == ENOENT && stat(args[0], &info) == 0) error = ENOEXEC;
  return failing(error, args[0], NULL);
}
