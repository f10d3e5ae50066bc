/*
 * Connections to the shim's socket: frames in, frames and streams out. Everything is bounded: a client that does not
 * read its control frames is dropped, a stream's client makes the container wait.
 */
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "kernel.h"

/* What waits for a client before the container does, and how much more fits in at the end: what its pipes still have. */
#define QUEUE_LIMIT (128u << 10)
#define QUEUE_SIZE (QUEUE_LIMIT + (160u << 10))
#define TAG_INDEX_BITS 16

struct connection connections[MAX_CONNECTIONS];
/* Only whole pages can be given back. */
static uint8_t incoming[MAX_CONNECTIONS][FRAME_MAX] __attribute__((aligned(4096)));
static uint8_t outgoing[MAX_CONNECTIONS][QUEUE_SIZE] __attribute__((aligned(4096)));
static struct connection *newest_control;

static uint32_t index_of(const struct connection *connection) { return (uint32_t)(connection - connections); }

size_t room_for_output(const struct connection *connection) {
  return connection->queued < QUEUE_LIMIT ? QUEUE_LIMIT - connection->queued : 0;
}

static uint32_t tag_of(const struct connection *connection) {
  return connection->generation << TAG_INDEX_BITS | index_of(connection);
}

/* Makes known which events it is interested in now. */
void watch_connection(struct connection *connection) {
  rewatch(connection->fd, connection->events, SOURCE_CONNECTION, tag_of(connection));
}

struct connection *latest_control(void) { return newest_control; }

void accept_connection(void) {
  int fd = accept4(LISTENER_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (uint32_t i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role != ROLE_FREE) continue;
    uint32_t generation = connection->generation + 1;
    *connection = (struct connection){.role = ROLE_NEW, .fd = fd, .events = EPOLLIN, .generation = generation};
    if (watch(fd, EPOLLIN, SOURCE_CONNECTION, tag_of(connection)) == 0) return;
    connection->role = ROLE_FREE;
    break;
  }
  close(fd);
}

void drop_connection(struct connection *connection) {
  if (connection->role == ROLE_FREE) return;
  dns_flush();
  unwatch(connection->fd);
  close(connection->fd);
  struct process *process = connection->role == ROLE_STREAM ? connection->process : NULL;
  connection->role = ROLE_FREE;
  if (newest_control == connection) {
    newest_control = NULL;
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
      if (connections[i].role == ROLE_CONTROL) newest_control = &connections[i];
    }
    dns_daemon_gone();
    dns_resume();
  }
  /* Give large buffers back: they are used rarely and a shim is to stay small. */
  madvise(incoming[index_of(connection)], FRAME_MAX, MADV_DONTNEED);
  madvise(outgoing[index_of(connection)], QUEUE_SIZE, MADV_DONTNEED);
  if (process != NULL) update_output_interest(process);
}

static void want_room(struct connection *connection) {
  connection->events |= EPOLLOUT;
  watch_connection(connection);
}

void send_bytes(struct connection *connection, const void *data, size_t length) {
  if (connection->role == ROLE_FREE) return;
  ssize_t n = connection->queued > 0 ? 0 : send(connection->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    drop_connection(connection);
    return;
  }
  size_t sent = n > 0 ? (size_t)n : 0;
  if (sent == length) return;
  if (length - sent > QUEUE_SIZE - connection->queued) {
    drop_connection(connection);
    return;
  }
  uint8_t *queue = outgoing[index_of(connection)];
  if (connection->queued_at > 0) {
    memmove(queue, queue + connection->queued_at, connection->queued);
    connection->queued_at = 0;
  }
  memcpy(queue + connection->queued, (const uint8_t *)data + sent, length - sent);
  connection->queued += length - sent;
  want_room(connection);
}

static void flush_queue(struct connection *connection) {
  uint8_t *queue = outgoing[index_of(connection)];
  ssize_t n = send(connection->fd, queue + connection->queued_at, connection->queued, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) drop_connection(connection);
    return;
  }
  connection->moved_at = now_ms();
  connection->queued_at += (size_t)n;
  connection->queued -= (size_t)n;
  if (connection->queued == 0) {
    connection->queued_at = 0;
    connection->events &= ~(uint32_t)EPOLLOUT;
    watch_connection(connection);
    if (connection->closing) {
      drop_connection(connection);
      return;
    }
  }
  if (connection->role == ROLE_STREAM) update_output_interest(connection->process);
}

void send_frame(struct connection *connection, uint16_t code, unsigned count, const uint64_t *values, const char *widths) {
  uint8_t buffer[128];
  struct wire_writer w = wire_begin(buffer, sizeof buffer, code);
  for (unsigned i = 0; i < count; i++) {
    if (widths[i] == '8') wire_put_u64(&w, values[i]);
    else wire_put_u32(&w, (uint32_t)values[i]);
  }
  send_bytes(connection, buffer, wire_end(&w));
}

void tell_controls(uint16_t code, unsigned count, const uint64_t *values, const char *widths) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    if (connections[i].role == ROLE_CONTROL) send_frame(&connections[i], code, count, values, widths);
  }
}

void tell_failed(struct connection *connection, const struct process *process, const struct report *report) {
  uint8_t buffer[1024];
  struct wire_writer w = wire_begin(buffer, sizeof buffer, SHIM_FAILED);
  wire_put_u32(&w, process->id);
  wire_put_u32(&w, report->op);
  wire_put_u32(&w, report->index);
  wire_put_u32(&w, report->error);
  wire_put_str(&w, report->detail);
  send_bytes(connection, buffer, wire_end(&w));
}

static void send_done(struct connection *connection, int error) {
  uint64_t value = (uint64_t)error;
  send_frame(connection, SHIM_DONE, 1, &value, "4");
}

static struct process *find_process(uint32_t id) {
  for (int i = 0; i < MAX_PROCESSES; i++) {
    enum phase phase = processes[i].phase;
    if (processes[i].id == id && phase != PHASE_FREE && phase != PHASE_EXITED) return &processes[i];
  }
  return NULL;
}

static void on_control(struct connection *connection) {
  connection->role = ROLE_CONTROL;
  newest_control = connection;
  names_forget();
  const struct process *container = &processes[0];
  bool runs = container->phase >= PHASE_RUNNING && !container->failed;
  uint64_t phase = runs ? 2 : container->phase == PHASE_PREPARED || container->phase == PHASE_STARTING ? 1 : 0;
  send_frame(connection, SHIM_STATE, 2, (uint64_t[]){phase, (uint64_t)container->pid}, "44");
  log_greet(connection);
}

static void on_attach(struct connection *connection, uint32_t streams) {
  connection->process = &processes[0];
  connection->streams = streams;
  connection->role = ROLE_STREAM;
  send_frame(connection, SHIM_ATTACHED, 0, NULL, "");
  if (processes[0].pending_in_length > 0) {
    connection->events &= ~(uint32_t)EPOLLIN;
    watch_connection(connection);
  }
}

/* Gives the kept netlink socket to whoever comes in the helper's place; false when there is none. */
static bool on_give_netlink(struct connection *connection) {
  int domain, fd = OWNER_FD;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_NETLINK) return false;
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec data = {"", 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(head), &fd, sizeof fd);
  connection->closing = true;
  return sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

static void on_signal(struct connection *connection, const struct shim_signal *request) {
  struct process *process = find_process(request->exec);
  if (process == NULL || process->pidfd < 0) send_done(connection, ESRCH);
  /* Every exec leads a session. The number is its own until it is reaped, which nobody but the shim does. */
  else if (request->signal & WIRE_SIGNAL_GROUP && process != &processes[0])
    send_done(connection, kill(-process->pid, (int)(request->signal & ~WIRE_SIGNAL_GROUP)) < 0 ? errno : 0);
  else send_done(connection, sys_pidfd_send_signal(process->pidfd, (int)request->signal) < 0 ? errno : 0);
}

static void on_resize(struct connection *connection, const struct shim_resize *request) {
  struct process *process = find_process(request->exec);
  struct winsize size = {.ws_row = (unsigned short)request->rows, .ws_col = (unsigned short)request->columns};
  if (process == NULL || !process->tty || process->out[0] < 0) send_done(connection, ENOTTY);
  else send_done(connection, ioctl(process->out[0], TIOCSWINSZ, &size) < 0 ? errno : 0);
}

static void on_claim_port(struct connection *connection, const struct shim_claim_port *request) {
  int port = claim_port(request);
  uint64_t values[] = {port < 0 ? (uint64_t)-port : 0, port < 0 ? 0 : (uint64_t)port};
  send_frame(connection, SHIM_CLAIMED, 2, values, "44");
}

void update_start(void);

/* Carries out one frame; false when it makes no sense. */
static bool carry_out(struct connection *connection, uint16_t code, const uint8_t *body, size_t length) {
  union {
    struct shim_signal signal;
    struct shim_resize resize;
    struct shim_attach attach;
    struct shim_exec exec;
    struct shim_dns_answer dns;
    struct shim_dns_keep keep;
    struct shim_claim_port claim;
    struct shim_retain_ports retain;
    struct shim_log_swap swap;
    struct shim_relay_ports relay;
  } frame;
  if (connection->role == ROLE_NEW) {
    if (code == SHIM_CONTROL) return on_control(connection), true;
    if (code == SHIM_ATTACH && shim_attach_read(&frame.attach, body, length)) return on_attach(connection, frame.attach.streams), true;
    if (code == SHIM_GIVE_NETLINK) return on_give_netlink(connection);
    if (code != SHIM_EXEC || !shim_exec_read(&frame.exec, body, length)) return false;
    int result = start_exec(connection, &frame.exec);
    if (result < 0) {
      struct process none = {.id = frame.exec.id};
      struct report report = {.op = OP_EXEC_INTO, .error = (uint32_t)-result};
      tell_failed(connection, &none, &report);
      connection->closing = true;
    }
    return true;
  }
  switch (code) {
    case SHIM_START:
      processes[0].wants_start = true;
      update_start();
      return true;
    case SHIM_SIGNAL:
      if (!shim_signal_read(&frame.signal, body, length)) return false;
      return on_signal(connection, &frame.signal), true;
    case SHIM_RESIZE:
      if (!shim_resize_read(&frame.resize, body, length)) return false;
      return on_resize(connection, &frame.resize), true;
    case SHIM_CLOSE_STDIN:
      end_input(&processes[0]);
      return send_done(connection, 0), true;
    case SHIM_CLAIM_PORT:
      if (!shim_claim_port_read(&frame.claim, body, length)) return false;
      return on_claim_port(connection, &frame.claim), true;
    case SHIM_RETAIN_PORTS:
      if (!shim_retain_ports_read(&frame.retain, body, length)) return false;
      return send_done(connection, retain_ports(&frame.retain)), true;
    case SHIM_RELAY_PORTS:
      if (!shim_relay_ports_read(&frame.relay, body, length)) return false;
      return send_done(connection, relay_ports(&frame.relay)), true;
    case SHIM_LOG_SWAP:
      if (!shim_log_swap_read(&frame.swap, body, length)) return false;
      return send_done(connection, -log_swap(frame.swap.inode, frame.swap.path)), true;
    case SHIM_DNS_ANSWER:
      if (!shim_dns_answer_read(&frame.dns, body, length)) return false;
      return dns_answered(frame.dns.id, frame.dns.message), true;
    case SHIM_DNS_KEEP:
      if (!shim_dns_keep_read(&frame.keep, body, length)) return false;
      names_keep(frame.keep.section, frame.keep.message);
      return dns_answered(frame.keep.id, frame.keep.message), true;
    case SHIM_DNS_FORGET: return names_forget(), true;
    default: return false;
  }
}

static void frames_from(struct connection *connection) {
  uint8_t *buffer = incoming[index_of(connection)];
  ssize_t n = recv(connection->fd, buffer + connection->received, FRAME_MAX - connection->received, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    drop_connection(connection);
    return;
  }
  connection->received += (size_t)n;
  size_t at = 0;
  while (connection->received - at >= WIRE_HEADER && (connection->role == ROLE_NEW || connection->role == ROLE_CONTROL)) {
    uint32_t length;
    uint16_t code;
    memcpy(&length, buffer + at, 4);
    memcpy(&code, buffer + at + 4, 2);
    if (length > FRAME_MAX - WIRE_HEADER) {
      drop_connection(connection);
      return;
    }
    if (connection->received - at < WIRE_HEADER + length) break;
    if (!carry_out(connection, code, buffer + at + WIRE_HEADER, length)) {
      drop_connection(connection);
      return;
    }
    at += WIRE_HEADER + length;
  }
  if (connection->role == ROLE_FREE) return;
  dns_flush();
  memmove(buffer, buffer + at, connection->received - at);
  connection->received -= at;
  if (connection->closing && connection->queued == 0) drop_connection(connection);
}

void connection_ready(uint32_t tag, uint32_t events) {
  struct connection *connection = &connections[tag & ((1u << TAG_INDEX_BITS) - 1)];
  /* Its slot may have been given to another since the kernel was asked. */
  if (connection->role == ROLE_FREE || tag_of(connection) != tag) return;
  if (events & EPOLLERR) {
    drop_connection(connection);
    return;
  }
  if (events & EPOLLOUT) flush_queue(connection);
  if (connection->role == ROLE_STREAM) {
    if (events & EPOLLHUP) drop_connection(connection);
    else if (events & EPOLLIN) input_from(connection);
  } else if (connection->role != ROLE_FREE && events & (EPOLLIN | EPOLLHUP)) {
    frames_from(connection);
  }
  dns_resume();
}
