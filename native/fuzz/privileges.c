/*
 * What programs do to themselves and their users: nothing of it happens.
 */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int plainly(void) { return world_fails() ? -1 : 0; }

int world_setgroups(size_t count, const gid_t *groups) { return world_look(groups, count * sizeof *groups), plainly(); }
int world_setresuid(uid_t real, uid_t effective, uid_t saved) { return (void)real, (void)effective, (void)saved, plainly(); }
int world_setresgid(gid_t real, gid_t effective, gid_t saved) { return (void)real, (void)effective, (void)saved, plainly(); }
int world_setegid(gid_t group) { return (void)group, plainly(); }
uid_t world_geteuid(void) { return 0; }
gid_t world_getegid(void) { return 0; }
int world_setenv(const char *name, const char *value, int over) { return (void)over, world_text(name), world_text(value), plainly(); }
int world_chown(const char *path, uid_t uid, gid_t gid) { return (void)uid, (void)gid, world_text(path), plainly(); }
int world_rmdir(const char *path) { return world_text(path), plainly(); }
int world_usleep(unsigned microseconds) { return world.now += (uint64_t)microseconds * 1000, 0; }
time_t world_time(time_t *to) { return (void)to, (time_t)(world.now / 1000000000u); }
int world_flock(int fd, int operation) { return (void)operation, world_get(fd) == NULL ? -1 : plainly(); }
/* Whoever waits, waits for ever. */
int world_pause(void) { world_end(); }
sighandler_t world_signal(int number, sighandler_t handler) { return (void)number, (void)handler, SIG_DFL; }
int world_printf(const char *format, ...) { return world_text(format), 0; }
int world_fflush(FILE *to) { return (void)to, 0; }

int world_execv(const char *path, char *const *args) {
  world_text(path);
  for (; *args != NULL; args++) world_text(*args);
  if (world_fails()) return -1;
  world_end();
}
