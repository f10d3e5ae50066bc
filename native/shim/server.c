/*
 * The program that serves the container's root, where that is a FUSE file system. It runs in the host's namespaces and the
 * shim's cgroup, so that nobody in the container sees, freezes or kills it; it ends with the file system, which nothing but
 * the container has mounted, and with the shim.
 */
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kernel.h"

#define SERVER_FD 3
#define SERVER_ARGS 32
/* Others may hold the mount for a moment after the container. */
#define SERVER_MS 5000

static pid_t server;
static int channel = -1;

void server_open(void) {
  channel = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (channel < 0) channel = -errno;
}

int server_channel(void) {
  return channel;
}

static bool strings(struct wire_list list, char **out, size_t size) {
  if (list.count >= size) return false;
  size_t n = 0;
  for (uint32_t left = list.count; left > 0; left--) out[n++] = (char *)wire_next_str(&list);
  out[n] = NULL;
  return n > 0;
}

_Noreturn static void become_server(char **args, char **env, pid_t shim) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != shim) _exit(127);
  setsid();
  umask(0);
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(null, i);
  dup2(channel, SERVER_FD); /* never the same: the shim has its listener there */
  sys_close_range(SERVER_FD + 1, ~0u, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(args[0], args, env);
  _exit(127);
}

int server_start(const struct op_root_server *op) {
  char *args[SERVER_ARGS], *env[SERVER_ARGS];
  if (channel < 0) return -EPROTO;
  bool sound = strings(op->args, args, SERVER_ARGS) && strings(op->env, env, SERVER_ARGS);
  pid_t shim = getpid();
  server = sound ? fork() : -1;
  if (server == 0) become_server(args, env, shim);
  /* Without a server, this ends what the child asks of its root. */
  close(channel);
  channel = -1;
  return server < 0 ? -ECHILD : 0;
}

bool server_reap(void) {
  if (server <= 0 || waitpid(server, NULL, WNOHANG) != server) return false;
  server = 0;
  return true;
}

int server_wait(uint64_t now, uint64_t since) {
  if (server <= 0 || now - since >= SERVER_MS) return 0;
  return (int)(SERVER_MS - (now - since));
}
