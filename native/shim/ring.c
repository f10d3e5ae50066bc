/*
 * The ring of mode=non-blocking: records wait in memory for a disk that is slow or stands still, and the oldest go when they
 * are too many, so that the container never waits.
 *
 * A write to a frozen file system cannot be interrupted, so it is done by a process of its own, the writer, which shares
 * nothing with the shim but this memory. Positions in the ring only grow. The shim alone adds at the head; both may move the
 * tail, by compare-and-swap: the writer has its copy of a batch only if nothing of it was dropped while it copied.
 */
#include "shim.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "kernel.h"

#define ALIGN 16u
/* An empty ring begins again at its start after so many bytes, so that its other pages are not used. */
#define RESTART_AFTER (64u << 10)
/*
 * A ring that is full because the writer has not been given the processor is not full for long: the shim waits for it in
 * short naps. A disk cannot hold the container up that way: naps are a small share of the time, and few for a writer that
 * stands still.
 */
#define NAP_US 200u
#define NAPS_MAX_US 20000u
#define NAPS_SHARE 8u
#define IDLE_NAPS_MAX 25u
/* At the end the writer is waited for as long as it goes on within this time. */
#define PATIENCE_MS 1000
/* A writer that somebody has killed is made anew, but not one that dies at once. */
#define RESPAWN_MS 1000
#define LOG_FD 3
#define EVENT_FD 4

struct record_head {
  uint32_t length, unused;
  uint64_t sequence;
};
_Static_assert(sizeof(struct record_head) == ALIGN, "a head never wraps around the ring's end");

struct shared {
  _Atomic uint64_t head, tail;
  /* Of the batch that is being written, and those that the disk did not take. */
  _Atomic uint64_t in_flight, failed;
  /* Batches that the writer has taken. */
  _Atomic uint64_t taken;
  /* Changes whenever there is something to do for the writer; it sleeps on it. */
  _Atomic uint32_t wake, sleeping, closing;
  _Atomic uint32_t files_changed, swap_waits;
  uint64_t swap_inode;
  char swap_path[PATH_MAX];
  _Alignas(ALIGN) uint8_t data[];
};

static struct shared *ring;
static uint64_t capacity, limit, sequence, last_tail, last_moved, spawned_at;
static size_t record_limit, batch_limit;
static uint8_t *batch;
static int event = -1;
static pid_t writer, shim;

static uint64_t aligned(uint64_t size) { return (size + ALIGN - 1) / ALIGN * ALIGN; }
static uint64_t space_of(size_t length) { return sizeof(struct record_head) + aligned(length); }

static void copy_in(uint64_t position, const void *from, size_t length) {
  size_t at = (size_t)(position % capacity), first = length < capacity - at ? length : (size_t)capacity - at;
  memcpy(ring->data + at, from, first);
  memcpy(ring->data, (const uint8_t *)from + first, length - first);
}

static void copy_out(void *to, uint64_t position, size_t length) {
  size_t at = (size_t)(position % capacity), first = length < capacity - at ? length : (size_t)capacity - at;
  memcpy(to, ring->data + at, first);
  memcpy((uint8_t *)to + first, ring->data, length - first);
}

static void wake_writer(void) {
  atomic_fetch_add(&ring->wake, 1);
  if (atomic_load(&ring->sleeping)) syscall(SYS_futex, &ring->wake, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* --- the writer --- */

/* Takes the oldest records; gives how many bytes, 0 when there are none. `first` is the number of the first. */
static size_t take(uint64_t *first, uint32_t *records) {
  for (;;) {
    uint64_t tail = atomic_load(&ring->tail), head = atomic_load(&ring->head), at = tail;
    size_t size = 0;
    *records = 0;
    while (at < head && size <= batch_limit) {
      struct record_head next;
      copy_out(&next, at, sizeof next);
      /* What is overwritten while it is read makes no sense; then the tail has moved as well. */
      if (next.length > record_limit || at + space_of(next.length) > head) break;
      if (*records == 0) *first = next.sequence;
      copy_out(batch + size, at + sizeof next, next.length);
      size += next.length;
      at += space_of(next.length);
      ++*records;
    }
    if (tail >= head) return 0;
    atomic_store(&ring->in_flight, *records);
    if (*records > 0 && atomic_compare_exchange_strong(&ring->tail, &tail, at)) {
      atomic_fetch_add(&ring->taken, 1);
      return size;
    }
    atomic_store(&ring->in_flight, 0);
  }
}

static void on_death(int signal) {
  (void)signal;
  atomic_store(&ring->closing, 1);
  atomic_fetch_add(&ring->wake, 1);
}

/* Becomes a process that has nothing of the shim's but the log, and outlives it only until all is written. */
static void settle_writer(void) {
  prctl(PR_SET_NAME, "berth-log");
  logfile_move(LOG_FD);
  dup2(event, EVENT_FD);
  event = EVENT_FD;
  sys_close_range(EVENT_FD + 1, ~0u, 0);
  struct sigaction action = {.sa_handler = on_death};
  sigaction(SIGTERM, &action, NULL);
  sigset_t death;
  sigemptyset(&death);
  sigaddset(&death, SIGTERM);
  sigprocmask(SIG_UNBLOCK, &death, NULL);
  prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (getppid() != shim) on_death(SIGTERM);
}

_Noreturn static void write_on(uint64_t expected) {
  settle_writer();
  for (;;) {
    uint32_t seen = atomic_load(&ring->wake), records;
    uint64_t first = expected;
    if (atomic_load(&ring->swap_waits)) {
      logfile_swap(ring->swap_inode, ring->swap_path);
      atomic_store(&ring->swap_waits, 0);
      /* Only now: who hears of it may have the next. */
      ring_files_changed();
    }
    size_t size = take(&first, &records);
    if (size > 0) {
      if (first > expected) logfile_missing(LOST_RING_FULL, first - expected);
      expected = first + records;
      if (!logfile_write(batch, size, records)) {
        atomic_fetch_add(&ring->failed, records);
        ring_notify();
      }
      atomic_store(&ring->in_flight, 0);
      continue;
    }
    if (atomic_load(&ring->closing)) _exit(0);
    atomic_store(&ring->sleeping, 1);
    if (atomic_load(&ring->wake) == seen) syscall(SYS_futex, &ring->wake, FUTEX_WAIT, seen, NULL, NULL, 0);
    atomic_store(&ring->sleeping, 0);
  }
}

void ring_notify(void) {
  uint64_t one = 1;
  if (write(event, &one, sizeof one) < 0) return; /* it is full of notices already */
}

void ring_files_changed(void) {
  atomic_store(&ring->files_changed, 1);
  ring_notify();
}

/* --- the shim --- */

static int spawn_writer(void) {
  shim = getpid();
  spawned_at = now_ms();
  uint64_t expected = sequence;
  pid_t pid = fork();
  if (pid == 0) write_on(expected);
  logfile_close();
  writer = pid > 0 ? pid : 0;
  return pid < 0 ? -errno : 0;
}

int ring_open(uint64_t size, size_t record_max, size_t batch_size, uint8_t *buffer) {
  if (size > SIZE_MAX / 4) return -ENOMEM;
  limit = aligned(size);
  /* The smallest ring has room for one record, whatever its size. */
  capacity = limit > space_of(record_max) ? limit : space_of(record_max);
  record_limit = record_max;
  batch_limit = batch_size;
  batch = buffer;
  ring = mmap(NULL, sizeof *ring + (size_t)capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ring == MAP_FAILED) return -errno;
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -errno;
  int result = spawn_writer();
  return result < 0 ? result : watch(event, EPOLLIN, SOURCE_LOG, 0);
}

/* Drops the oldest record, unless the writer has taken it. */
static bool drop_oldest(uint64_t tail) {
  struct record_head oldest;
  copy_out(&oldest, tail, sizeof oldest);
  return atomic_compare_exchange_strong(&ring->tail, &tail, tail + space_of(oldest.length));
}

/* True when the shim has waited a little for the writer; false when it has done that enough. */
static bool napped(void) {
  static uint64_t before, taken;
  static uint32_t left = NAPS_MAX_US, idle;
  uint64_t now = now_ms(), more = (now - before) * 1000 / NAPS_SHARE, taken_now = atomic_load(&ring->taken);
  if (more > 0) {
    left = left + more < NAPS_MAX_US ? left + (uint32_t)more : NAPS_MAX_US;
    before = now;
  }
  idle = taken_now == taken ? idle + 1 : 0;
  taken = taken_now;
  if (idle > IDLE_NAPS_MAX || left < NAP_US || writer == 0) {
    if (idle > IDLE_NAPS_MAX) idle = IDLE_NAPS_MAX;
    return false;
  }
  left -= NAP_US;
  wake_writer();
  nanosleep(&(struct timespec){.tv_nsec = NAP_US * 1000}, NULL);
  return true;
}

uint64_t ring_put(const uint8_t *record, size_t length) {
  uint64_t head = atomic_load(&ring->head), space = space_of(length), dropped = 0;
  for (;;) {
    uint64_t tail = atomic_load(&ring->tail);
    if (tail == head) {
      if (head % capacity > RESTART_AFTER) {
        head = (head / capacity + 1) * capacity;
        atomic_store(&ring->tail, head);
        atomic_store(&ring->head, head);
      }
      break;
    }
    if (head - tail + space <= limit) break;
    if (dropped == 0 && napped()) continue;
    if (drop_oldest(tail)) dropped++;
  }
  struct record_head next = {.length = (uint32_t)length, .sequence = sequence++};
  copy_in(head, &next, sizeof next);
  copy_in(head + sizeof next, record, length);
  atomic_store(&ring->head, head + space);
  return dropped;
}

void ring_publish(void) { wake_writer(); }

uint64_t ring_failed(void) { return atomic_load(&ring->failed); }

int ring_close(uint64_t now) {
  if (writer == 0) return 0;
  uint64_t tail = atomic_load(&ring->tail);
  if (!atomic_load(&ring->closing)) {
    atomic_store(&ring->closing, 1);
    wake_writer();
    last_moved = now;
  } else if (tail != last_tail) {
    last_moved = now;
  }
  last_tail = tail;
  if (now - last_moved < PATIENCE_MS) return (int)(PATIENCE_MS - (now - last_moved));
  kill(writer, SIGKILL);
  return 0;
}

uint64_t ring_abandon(void) {
  uint64_t dropped = atomic_exchange(&ring->in_flight, 0), head = atomic_load(&ring->head);
  for (uint64_t tail = atomic_load(&ring->tail); tail < head; tail = atomic_load(&ring->tail)) {
    if (drop_oldest(tail)) dropped++;
  }
  return dropped;
}

int ring_swap(uint64_t inode, const char *path) {
  if (writer == 0 || atomic_load(&ring->swap_waits) || strlen(path) >= sizeof ring->swap_path) return -EBUSY;
  ring->swap_inode = inode;
  memcpy(ring->swap_path, path, strlen(path) + 1);
  atomic_store(&ring->swap_waits, 1);
  wake_writer();
  return 0;
}

bool ring_notified(void) {
  uint64_t notices;
  if (read(event, &notices, sizeof notices) < 0) return false;
  return atomic_exchange(&ring->files_changed, 0);
}

uint64_t ring_reap(void) {
  if (writer == 0 || waitpid(writer, NULL, WNOHANG) != writer) return 0;
  writer = 0;
  if (atomic_load(&ring->closing)) return 0;
  uint64_t dropped = atomic_exchange(&ring->in_flight, 0);
  if (now_ms() - spawned_at >= RESPAWN_MS) spawn_writer();
  return dropped;
}
