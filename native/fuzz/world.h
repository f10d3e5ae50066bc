/*
 * The world of a harness: what stands in for the kernel, so that whatever an input asks for, nothing happens on the machine.
 *
 * The objects under test call world_X where they would call X (build.sh renames the symbols, and refuses an object that
 * calls anything else of the C library's than what can do no harm). What the calls give comes from the input: which of them
 * fail, and how (its luck), what is read from files (its content), what comes at sockets (its events).
 */
#ifndef BERTH_FUZZ_WORLD_H
#define BERTH_FUZZ_WORLD_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Bytes of the input that have not been used. */
struct bytes { const uint8_t *at, *end; };
static inline size_t bytes_left(const struct bytes *from) { return (size_t)(from->end - from->at); }
/* What is not there any more is 0. */
uint8_t take_u8(struct bytes *from);
uint16_t take_u16(struct bytes *from);
/* The next bytes: fewer at the end. */
struct bytes take_bytes(struct bytes *from, size_t length);
/* A part of an input: u16 length, bytes. */
struct bytes take_part(struct bytes *from);

enum kind { CLOSED, FILE_KIND, SOCKET_KIND, EPOLL_KIND };
/* A descriptor of the world. */
struct descriptor {
  enum kind kind;
  bool watched, ends;
  uint32_t events;
  uint64_t data;
  int family, type, protocol;
  int real; /* a memfd: what libseccomp writes to */
  struct bytes in;
  uint32_t clients; /* who may be accepted */
  size_t base;      /* of a file: where on the disk it begins */
  uint64_t ino;     /* which file it is; 0: the content says */
  struct sockaddr_storage name;
  socklen_t name_size;
};
#define DESCRIPTORS 1024

/* Everything that one input has; what the objects under test remember is as at the start again (reset.ld). */
struct world {
  struct bytes luck, content;
  uint32_t skip;  /* calls before the next failure */
  int failure;    /* of which kind that is; 0: none any more */
  uint32_t calls, random, looks;
  uint64_t now;
  bool strict;    /* closing what is not open is a fault */
  bool child;     /* a fork has given the child */
  /* All bytes that have been written to files, one after the other, if a harness wants them. */
  uint8_t *disk;
  size_t disk_size, disk_used;
  /* Of processes: how many there have been, and which have ended. */
  int processes;
  uint16_t ended[64];
  bool has_ended[64];
  /* Where datagrams have gone to. */
  struct sockaddr_storage sent_to[4];
  socklen_t sent_size[4];
  uint32_t sent;
  int high; /* no descriptor from here on is or has been open */
  struct descriptor descriptors[DESCRIPTORS];
};
extern struct world world;

void world_begin(struct bytes luck, struct bytes content);
/* Runs until it comes back (true), or until the world has ended under it. */
bool world_run(void (*what)(void));
_Noreturn void world_end(void);
/* Says what is wrong and aborts: a finding. */
_Noreturn void world_fault(const char *what);
/* Whether this call fails: errno is set. */
bool world_fails(void);
int world_new(enum kind kind);
/* NULL with EBADF when it is not open. */
struct descriptor *world_get(int fd);
/* The place of one that is about to be. */
struct descriptor *world_at(int fd);
int world_open_count(void);
/* Writes to memory under test, and makes what follows in its buffer unreadable until something is read there. */
void world_fill(void *to, size_t size, const void *from, size_t length);
/* Looks at every byte. */
void world_look(const void *at, size_t length);
void world_text(const char *text);
/* A child of fork, vfork or clone: its number, 0 in the child, -1. */
int world_birth(void);

#define PART_OF_SEND 15
extern const int world_errors[16];
#endif
