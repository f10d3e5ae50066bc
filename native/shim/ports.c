/*
 * Published ports. What claims a port is an open socket, made before the start (a handle of the plan's) or while the
 * container runs; the kernel knows which they are, so that nothing is noted here. Nobody connects to them: the firewall
 * leads clients to the container.
 */
#include "shim.h"

#include "../bind.h"

/* No descriptor of the shim's is higher: handles of the plan are 4096 at most, everything else some hundreds. */
#define DESCRIPTORS_END 8192

#define FIRST_HANDLE 10

/* Ports have been claimed or let go since the start: claims are no longer the plan's handles, one after the other. */
static bool changed;

int claim_port(const struct shim_claim_port *request) {
  union any_address address;
  socklen_t size = parse_address(&address, request->family, request->address, request->port);
  if (size == 0) return -EINVAL;
  changed = true;
  int fd = socket((int)request->family, (int)request->type | SOCK_CLOEXEC | SOCK_NONBLOCK, (int)request->protocol);
  if (fd < 0) return -errno;
  int port = fd < DESCRIPTORS_END ? bind_port(fd, &address, size, request->options) : -EMFILE;
  if (port < 0) close(fd);
  return port;
}

static bool listed(const struct shim_retain_ports *request, int protocol, const union any_address *address) {
  struct wire_list protocols = request->protocols, addresses = request->addresses, ports = request->ports;
  uint32_t family = address->any.sa_family;
  for (uint32_t i = 0; i < protocols.count; i++) {
    union any_address kept;
    uint32_t kept_protocol = wire_next_u32(&protocols);
    const char *text = wire_next_str(&addresses);
    uint32_t port = wire_next_u32(&ports);
    if (kept_protocol != (uint32_t)protocol || port != port_of(address)) continue;
    if (parse_address(&kept, family, text, port) == 0) continue;
    if (family == AF_INET ? kept.v4.sin_addr.s_addr == address->v4.sin_addr.s_addr
                          : memcmp(&kept.v6.sin6_addr, &address->v6.sin6_addr, sizeof kept.v6.sin6_addr) == 0) {
      return true;
    }
  }
  return false;
}

/* Whether a descriptor is a claim, and of what; -EBADF when it is open for nothing. */
static int claim_of(int fd, union any_address *address) {
  socklen_t size = sizeof *address;
  if (getsockname(fd, &address->any, &size) < 0) return errno == EBADF ? -EBADF : 0;
  return (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6) && !dns_has(fd);
}

int retain_ports(const struct shim_retain_ports *request) {
  uint32_t count = request->ports.count;
  if (request->protocols.count != count || request->addresses.count != count) return EINVAL;
  changed = true;
  for (int fd = LISTENER_FD + 1; fd < DESCRIPTORS_END; fd++) {
    union any_address address;
    int protocol;
    socklen_t length = sizeof protocol;
    if (claim_of(fd, &address) != 1 || getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0) continue;
    if (!listed(request, protocol, &address)) close(fd);
  }
  return 0;
}

void release_ports(void) {
  union any_address address;
  int claim = 0;
  for (int fd = FIRST_HANDLE; changed ? fd < DESCRIPTORS_END : claim >= 0; fd++) {
    claim = claim_of(fd, &address);
    if (claim == 1) close(fd);
  }
}
