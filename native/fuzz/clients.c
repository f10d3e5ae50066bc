/*
 * poll(2) of programs that serve clients: an event comes at one of those that are looked at. When there are no more events all
 * clients go, and at last nobody comes.
 */
#include "world.h"

#include <poll.h>
#include <sys/epoll.h>

#include "events.h"

void (*before_poll)(const struct pollfd *fds, unsigned long count);

static void watch(struct pollfd *fds, nfds_t count) {
  for (int fd = 0; fd < world.high; fd++) world.descriptors[fd].watched = false;
  for (nfds_t i = 0; i < count; i++) {
    fds[i].revents = 0;
    struct descriptor *it = fds[i].fd < 0 ? NULL : world_get(fds[i].fd);
    if (it == NULL) continue;
    it->watched = true;
    it->events = (uint32_t)fds[i].events;
    it->data = i;
  }
}

/* The first is the listener, of whoever has one. */
static int all_go(struct pollfd *fds, nfds_t count, int timeout) {
  int gone = 0;
  for (nfds_t i = 0; i < count; i++) {
    struct descriptor *it = fds[i].fd < 0 || (i == 0 && count > 1 && timeout >= 0) ? NULL : world_get(fds[i].fd);
    if (it == NULL || it->kind != SOCKET_KIND) continue;
    it->in = (struct bytes){0};
    it->ends = true;
    fds[i].revents = POLLIN | POLLHUP;
    gone++;
  }
  return gone;
}

int world_poll(struct pollfd *fds, nfds_t count, int timeout) {
  /* What one request costs is bounded; how many come is not. */
  world.calls = 0;
  if (before_poll != NULL) before_poll(fds, count);
  watch(fds, count);
  if (world_fails()) return -1;
  int ready = 0;
  for (bool more = true; (more || ready == 0) && bytes_left(&events_left) > 0;) {
    struct epoll_event event;
    if (!world_event(&event, &more)) continue;
    ready += fds[event.data.u64].revents == 0;
    fds[event.data.u64].revents |= (short)event.events;
  }
  if (ready > 0) return ready;
  if (timeout >= 0 && count == 1) return 0;
  if (all_go(fds, count, timeout) == 0) world_end();
  return 1;
}
