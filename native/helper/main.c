/*
 * berth-helper serve SOCKET SHIM [KEEPER]: listens, says "ready" on stdout, serves one client, ends with it.
 *
 * One thread, one request after the other: each is a handful of system calls, and order is what callers rely on.
 */
#include "helper.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define REQUEST_SIZE (8u << 20)

static const handler handlers[] = {
    [HELPER_NETNS_NEW] = handle_netns_new,
    [HELPER_USERNS_NEW] = handle_userns_new,
    [HELPER_OWNERS_NEW] = handle_owners_new,
    [HELPER_PROBE_OWNERS] = handle_probe_owners,
    [HELPER_NETNS_OPEN] = handle_netns_open,
    [HELPER_CLOSE] = handle_close,
    [HELPER_NETLINK] = handle_netlink,
    [HELPER_NETLINK_WATCH] = handle_netlink_watch,
    [HELPER_NETLINK_ADOPT] = handle_netlink_adopt,
    [HELPER_SOCKET] = handle_socket,
    [HELPER_SPAWN] = handle_spawn,
    [HELPER_SYSCTL] = handle_sysctl,
    [HELPER_MKNOD] = handle_mknod,
    [HELPER_SET_XATTR] = handle_set_xattr,
    [HELPER_GET_XATTRS] = handle_get_xattrs,
    [HELPER_READ_IN_ROOT] = handle_read_in_root,
    [HELPER_SECCOMP] = handle_seccomp,
    [HELPER_PROBE_MOUNT] = handle_probe_mount,
    [HELPER_DEVICE_FILTER] = handle_device_filter,
    [HELPER_DETACHED_MOUNT] = handle_detached_mount,
    [HELPER_UNIX_DATAGRAM] = handle_unix_datagram,
    [HELPER_SUBVOLUME] = handle_subvolume,
    [HELPER_SUBVOLUME_DELETE] = handle_subvolume_delete,
    [HELPER_SUBVOLUME_LIMIT] = handle_subvolume_limit,
};

int fail(struct answer *out, int error, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(out->detail, sizeof out->detail, format, args);
  va_end(args);
  return -error;
}

static bool write_all(int fd, const uint8_t *data, size_t length) {
  while (length > 0) {
    ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    length -= (size_t)n;
  }
  return true;
}

static bool send_answer(int fd, int result, const struct answer *out) {
  uint8_t head[1024];
  if (result < 0) {
    struct wire_writer w = wire_begin(head, sizeof head, HELPER_ERROR);
    wire_put_u32(&w, out->id);
    wire_put_u32(&w, (uint32_t)-result);
    wire_put_str(&w, out->detail);
    return write_all(fd, head, wire_end(&w));
  }
  struct wire_writer w = wire_begin(head, sizeof head, HELPER_OK);
  wire_put_u32(&w, out->id);
  wire_put_u64(&w, out->value);
  wire_put_u32(&w, (uint32_t)out->length);
  size_t head_length = wire_end(&w);
  uint32_t body = (uint32_t)(head_length - WIRE_HEADER + out->length);
  memcpy(head, &body, sizeof body);
  if (head_length + out->length > sizeof head) {
    return write_all(fd, head, head_length) && write_all(fd, out->buffer, out->length);
  }
  if (out->length > 0) memcpy(head + head_length, out->buffer, out->length);
  return write_all(fd, head, head_length + out->length);
}

static uint8_t answer_buffer[ANSWER_SIZE];

/* Carries out one request; false when the client speaks nonsense or has gone. */
static bool carry_out(int fd, uint16_t code, const uint8_t *body, size_t length) {
  struct answer out = {.buffer = answer_buffer};
  if (length < 4) return false;
  memcpy(&out.id, body, 4);
  if (code >= sizeof handlers / sizeof *handlers || handlers[code] == NULL) {
    return send_answer(fd, fail(&out, ENOSYS, "request %u", code), &out);
  }
  int result = handlers[code](&out, body, length);
  return out.waits || send_answer(fd, result, &out);
}

/* Tells who waits what has come; false when the client has gone. */
static bool tell_watcher(int fd) {
  struct answer out = {.buffer = answer_buffer};
  return !take_watched(&out) || send_answer(fd, 0, &out);
}

static void reap(int signals) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) > 0) {
  }
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

static void serve(int client, int signals) {
  static uint8_t buffer[REQUEST_SIZE];
  size_t have = 0;
  for (;;) {
    struct pollfd fds[4] = {
        {client, POLLIN, 0}, {signals, POLLIN, 0}, {watched_fd(), POLLIN, 0}, {keeper_fd(), 0, 0}};
    if (poll(fds, 4, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (fds[3].revents) {
      fprintf(stderr, "berth-helper: the keeper of the namespaces has ended, and nothing leads out of them any more\n");
      return;
    }
    if (fds[1].revents) reap(signals);
    if (fds[2].revents && !tell_watcher(client)) return;
    if (!fds[0].revents) continue;
    ssize_t n = recv(client, buffer + have, REQUEST_SIZE - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    have += (size_t)n;
    size_t at = 0;
    while (have - at >= WIRE_HEADER) {
      uint32_t length;
      uint16_t code;
      memcpy(&length, buffer + at, 4);
      memcpy(&code, buffer + at + 4, 2);
      if (length > REQUEST_SIZE - WIRE_HEADER) return;
      if (have - at < WIRE_HEADER + length) break;
      if (!carry_out(client, code, buffer + at + WIRE_HEADER, length)) return;
      at += WIRE_HEADER + length;
    }
    memmove(buffer, buffer + at, have - at);
    have -= at;
  }
}

static int accept_one(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "berth-helper: the path %s is too long for a socket\n", path);
    return -1;
  }
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return -1;
  umask(0177);
  unlink(path);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) {
    fprintf(stderr, "berth-helper: %s: %s\n", path, strerror(errno));
    return -1;
  }
  umask(022);
  if (write(STDOUT_FILENO, "ready\n", 6) != 6) return -1;
  int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  close(listener);
  unlink(path);
  return client;
}

void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int main(int argc, char **argv) {
  int once = run_once(argc, argv);
  if (once < 0) once = run_keeper(argc, argv);
  if (once < 0) once = run_guard(argc, argv);
  if (once < 0) once = run_listen(argc, argv);
  if (once < 0) once = run_confined(argc, argv);
  if (once >= 0) return once;
  if ((argc != 4 && argc != 5) || strcmp(argv[1], "serve") != 0) {
    fprintf(stderr, "usage: berth-helper serve SOCKET SHIM [KEEPER] | keep … | join … | guard … | confine … | mount … | bind … | unmount …\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "berth-helper");
  raise_file_limit();
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  /* A terminal's ^C or hang-up is for the daemon, which ends this process by closing its connection. */
  sigaddset(&mask, SIGINT);
  sigaddset(&mask, SIGHUP);
  sigaddset(&mask, SIGTERM);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0 || keep_shim(argv[3]) < 0) {
    fprintf(stderr, "berth-helper: %s: %s\n", argv[3], strerror(errno));
    return 1;
  }
  int inside = argc == 5 ? serve_inside(argv[4]) : 0;
  if (inside < 0) {
    fprintf(stderr, "berth-helper: %s: %s\n", argv[4], strerror(-inside));
    return 1;
  }
  int client = accept_one(argv[2]);
  if (client < 0) return 1;
  serve(client, signals);
  return 0;
}
