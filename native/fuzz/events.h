/*
 * What harnesses say to the world's sockets.
 */
#ifndef BERTH_FUZZ_EVENTS_H
#define BERTH_FUZZ_EVENTS_H
#include "world.h"

/* The events that have not come yet; the world ends when there are none. */
extern struct bytes events_left;
/* How long a child's report is, and which kinds of it come with a descriptor. */
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
