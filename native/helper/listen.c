/*
 * berth-helper listen GROUP PATH… -- PROGRAM ARGUMENT…: becomes the program, with sockets as systemd hands them over
 * (sd_listen_fds(3)): from descriptor 3 on. Root makes them where the program itself may not. The path "-" is the socket
 * that descriptor 0 is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper.h"

static int failed(const char *what, int error) {
  fprintf(stderr, "berth-helper listen: %s: %s\n", what, strerror(error));
  return 1;
}

/* A listening socket at a path that everybody in a group may connect to; its owner and group are right from the beginning. */
static int listen_for(const char *path, gid_t group) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  gid_t before = getegid();
  if (fd < 0 || setegid(group) < 0) return -1;
  umask(0117);
  unlink(path);
  int result = bind(fd, (struct sockaddr *)&address, sizeof address);
  int error = errno;
  umask(022);
  if (setegid(before) < 0 || result < 0) {
    errno = result < 0 ? error : errno;
    return -1;
  }
  return listen(fd, 4096) < 0 ? -1 : fd;
}

/* One that systemd listens on already, which comes as descriptor 0. */
static int take_given(void) {
  int fd = fcntl(0, F_DUPFD, 3), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return fd < 0 || null < 0 || dup2(null, 0) < 0 ? -1 : fd;
}

int run_listen(int argc, char **argv) {
  char text[32];
  int count = 0;
  if (argc < 5 || strcmp(argv[1], "listen") != 0) return -1;
  gid_t group = (gid_t)strtoul(argv[2], NULL, 10);
  char **at = argv + 3;
  for (; *at != NULL && strcmp(*at, "--") != 0; at++, count++) {
    int fd = strcmp(*at, "-") == 0 ? take_given() : listen_for(*at, group);
    if (fd < 0) return failed(*at, errno);
    if (fd != 3 + count && (dup2(fd, 3 + count) < 0 || close(fd) < 0)) return failed(*at, errno);
  }
  if (at[0] == NULL || at[1] == NULL) return 2;
  if (count > 0) {
    snprintf(text, sizeof text, "%d", count);
    setenv("LISTEN_FDS", text, 1);
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
  }
  prctl(PR_SET_PDEATHSIG, 0);
  execv(at[1], at + 1);
  return failed(at[1], errno);
}
