/*
 * The container's output to the log and to whoever is attached, and their input to the container.
 *
 * Output is read in arrival order and logged first. An attached client that does not read makes the shim stop reading,
 * and so the container wait, as under Docker; nothing is ever dropped for it.
 */
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define CHUNK (32u << 10)
#define FRAME_HEADER 8u

static uint8_t scratch[FRAME_HEADER + CHUNK];
/* Input that the container has not taken yet: one chunk a process; nothing more is read from clients meanwhile. */
static uint8_t pending_in[MAX_PROCESSES][CHUNK];

static uint32_t index_of(const struct process *process) { return (uint32_t)(process - processes); }

static bool wants(const struct connection *connection, const struct process *process, int stream) {
  return connection->role == ROLE_STREAM && connection->process == process && !connection->closing &&
         connection->streams & (stream == 0 ? WIRE_ATTACH_STDOUT : WIRE_ATTACH_STDERR);
}

/* Reads only while every attached client has room for a chunk. */
void update_output_interest(struct process *process) {
  bool room = true;
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role != ROLE_STREAM || connection->process != process || connection->closing) continue;
    if (room_for_output(connection) < FRAME_HEADER + CHUNK) room = false;
  }
  for (int stream = 0; stream < 2; stream++) {
    if (process->out[stream] < 0) continue;
    rewatch(process->out[stream], room ? EPOLLIN : 0, stream == 0 ? SOURCE_OUT : SOURCE_ERR, index_of(process));
  }
}

static void close_output(struct process *process, int stream) {
  unwatch(process->out[stream]);
  /* A terminal's master is also its input. */
  if (process->in == process->out[stream]) process->in = -1;
  close(process->out[stream]);
  process->out[stream] = -1;
}

static void deliver(struct process *process, int stream, size_t length) {
  uint8_t *data = scratch + FRAME_HEADER;
  if (process == &processes[0]) {
    log_output(stream, data, length);
    log_flush();
  }
  uint8_t head[FRAME_HEADER] = {(uint8_t)(stream + 1), 0, 0, 0, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                                (uint8_t)(length >> 8), (uint8_t)length};
  memcpy(scratch, head, sizeof head);
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (!wants(connection, process, stream)) continue;
    if (process->tty) send_bytes(connection, data, length);
    else send_bytes(connection, scratch, FRAME_HEADER + length);
  }
}

void output_ready(struct process *process, int stream) {
  if (process->out[stream] < 0) return;
  ssize_t n = read(process->out[stream], scratch + FRAME_HEADER, CHUNK);
  if (n > 0) {
    deliver(process, stream, (size_t)n);
    update_output_interest(process);
    return;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close_output(process, stream);
}

bool output_drained(const struct process *process) { return process->out[0] < 0 && process->out[1] < 0; }

/* The process is gone but others still hold its pipes: takes what is there and stops waiting for more. */
void abandon_output(struct process *process) {
  for (int stream = 0; stream < 2; stream++) {
    for (int rounds = 0; process->out[stream] >= 0 && rounds < 64; rounds++) {
      ssize_t n = read(process->out[stream], scratch + FRAME_HEADER, CHUNK);
      if (n <= 0) break;
      deliver(process, stream, (size_t)n);
    }
    if (process->out[stream] >= 0) close_output(process, stream);
  }
}

void end_input(struct process *process) {
  if (process->in < 0) return;
  if (process->pending_in_length > 0) {
    process->stdin_ends = true;
    return;
  }
  if (process->tty) return; /* the master stays open for output */
  unwatch(process->in);
  close(process->in);
  process->in = -1;
}

/* Clients are read again once the container has taken what they sent. */
void resume_inputs(struct process *process) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role != ROLE_STREAM || connection->process != process) continue;
    if (!connection->input_ended) connection->events |= EPOLLIN;
    watch_connection(connection);
  }
}

static void pause_inputs(struct process *process) {
  for (int i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *connection = &connections[i];
    if (connection->role != ROLE_STREAM || connection->process != process) continue;
    connection->events &= ~(uint32_t)EPOLLIN;
    watch_connection(connection);
  }
}

static void watch_input(struct process *process, bool on) {
  if (process->tty) {
    /* One descriptor for both directions: it is watched as output and, for a while, for room. */
    rewatch(process->in, EPOLLIN | (on ? EPOLLOUT : 0), SOURCE_OUT, index_of(process));
  } else {
    rewatch(process->in, on ? EPOLLOUT : 0, SOURCE_IN, index_of(process));
  }
}

void input_ready(struct process *process) {
  if (process->in < 0 || process->pending_in_length == 0) return;
  uint8_t *pending = pending_in[index_of(process)];
  ssize_t n = write(process->in, pending + process->pending_in_at, process->pending_in_length);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) n = (ssize_t)process->pending_in_length; /* nobody reads any more: it is thrown away */
  process->pending_in_at += (size_t)n;
  process->pending_in_length -= (size_t)n;
  if (process->pending_in_length > 0) return;
  watch_input(process, false);
  if (process->stdin_ends) end_input(process);
  resume_inputs(process);
}

/* Adds raw bytes from a client to the container's input. */
static void feed(struct process *process, const uint8_t *data, size_t length) {
  ssize_t n = process->in < 0 ? (ssize_t)length : write(process->in, data, length);
  if (n < 0 && errno != EAGAIN && errno != EINTR) n = (ssize_t)length;
  if (n < 0) n = 0;
  if ((size_t)n == length) return;
  memcpy(pending_in[index_of(process)], data + n, length - (size_t)n);
  process->pending_in_at = 0;
  process->pending_in_length = length - (size_t)n;
  watch_input(process, true);
  pause_inputs(process);
}

/* A client's input has something, or has ended. */
void input_from(struct connection *connection) {
  static uint8_t chunk[CHUNK];
  struct process *process = connection->process;
  if (process->pending_in_length > 0) return;
  ssize_t n = recv(connection->fd, chunk, sizeof chunk, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    drop_connection(connection);
    return;
  }
  if (n > 0) {
    if (connection->streams & WIRE_ATTACH_STDIN) feed(process, chunk, (size_t)n);
    return;
  }
  connection->input_ended = true;
  connection->events &= ~(uint32_t)EPOLLIN;
  watch_connection(connection);
  if (connection->streams & WIRE_ATTACH_STDIN && (process->once || process != &processes[0])) end_input(process);
}
