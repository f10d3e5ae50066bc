/* Joins stdin and stdout with a Unix socket, as `socat - UNIX:PATH` does: busybox has nothing that speaks to one. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int pass(int from, int to) {
  char bytes[4096];
  ssize_t count = read(from, bytes, sizeof bytes);
  for (ssize_t at = 0, sent; at < count; at += sent)
    if ((sent = write(to, bytes + at, (size_t)(count - at))) <= 0) return 0;
  return count > 0;
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  int remote = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (remote < 0 || connect(remote, (struct sockaddr *)&address, sizeof address) < 0) return 1;
  struct pollfd ends[] = {{.fd = 0, .events = POLLIN}, {.fd = remote, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0) return 1;
    if (ends[1].revents && !pass(remote, 1)) return 0;
    if (ends[0].revents && !pass(0, remote)) {
      shutdown(remote, SHUT_WR);
      ends[0].fd = -1;
    }
  }
}
