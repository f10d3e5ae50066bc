/*
 * Claiming a port by binding a socket: what the helper does for a container that is to start, and its shim while it runs.
 */
#ifndef BERTH_BIND_H
#define BERTH_BIND_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "wire.h"

union any_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* Gives the address's size; 0 when the text is no address of the family. */
static inline socklen_t parse_address(union any_address *to, uint32_t family, const char *address, uint32_t port) {
  memset(to, 0, sizeof *to);
  if (port > 65535) return 0;
  if (family == AF_INET) {
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, address, &to->v4.sin_addr) == 1 ? sizeof to->v4 : 0;
  }
  to->v6.sin6_family = AF_INET6;
  to->v6.sin6_port = htons((uint16_t)port);
  return inet_pton(AF_INET6, address, &to->v6.sin6_addr) == 1 ? sizeof to->v6 : 0;
}

static inline uint16_t port_of(const union any_address *address) {
  return ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
}

/* Binds (and listens, by SOCKET_* options); gives the port that it got, or a negative errno. The socket stays the caller's. */
static inline int bind_port(int fd, const union any_address *to, socklen_t size, uint32_t options) {
  int on = 1;
  union any_address bound = *to;
  if (options & WIRE_SOCKET_REUSEADDR) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (options & WIRE_SOCKET_V6ONLY) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, &to->any, size) < 0 || ((options & WIRE_SOCKET_LISTEN) && listen(fd, 16) < 0) ||
      getsockname(fd, &bound.any, &size) < 0) {
    return -errno;
  }
  return port_of(&bound);
}
#endif
