/*
 * What harnesses say to the world's sockets.
 */
#ifndef BERTH_FUZZ_EVENTS_H
#define BERTH_FUZZ_EVENTS_H
#include "world.h"

/* The events that have not come yet; the world ends when there are none. */
extern struct bytes events_left;
/* Takes an event out of the input; false when it is none that the kernel would tell of. `more`: the next comes with it. */
struct epoll_event;
bool world_event(struct epoll_event *event, bool *more);
/* What a harness has to say to each message that is sent, if it has something to say. */
extern void (*message_sent)(const struct msghdr *message);
/* The same of each poll(2), before anything comes (clients.c). */
struct pollfd;
extern void (*before_poll)(const struct pollfd *fds, unsigned long count);
/* How long a child's report is (0: there are none: messages are a keeper's), and which kinds of it come with a descriptor. */
extern uint32_t report_size;
#define REPORT_PID_KIND 3
#define REPORT_DNS_TCP_KIND 6

#define HOW_ENDS 1   /* behind what has come is the end */
#define HOW_SECOND 2 /* it has taken a second, a minute */
#define HOW_MINUTE 4
#define HOW_LATER 8  /* not the next call fails, but the one behind it; bits 4 to 7 say how, see world_errors */
/* In the place of a descriptor: processes have ended, of which the second that is watched tells. */
#define PROCESSES_END 0xff
#define SIGNALS 1
#endif
