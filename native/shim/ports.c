/*
 * Published ports. What claims a port is an open socket, made before the start (a handle of the plan's) or while the
 * container runs; the kernel knows which they are, so that nothing is noted here. Nobody connects to them: the firewall
 * leads clients to the container, or where it cannot the relay does.
 */
#include "shim.h"

#include <fcntl.h>

#include "../keeper.h"

/* No descriptor of the shim's is higher: handles of the plan are 4096 at most, everything else some hundreds. */
#define DESCRIPTORS_END 8192

#define FIRST_HANDLE 10

/* Ports have been claimed or let go since the start: claims are no longer the plan's handles, one after the other. */
static bool changed;

/* What is claimed while the container runs has any number: also one below the handles, where a terminal leaves a gap. */
static int first_claim(void) {
  return changed ? LISTENER_FD + 1 : FIRST_HANDLE;
}

/* The daemon has namespaces of its own, and somebody outside makes the sockets of published ports. */
static bool kept;

void ports_begin(void) {
  kept = fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC) == 0;
}

/* Binds outside; gives the socket, or a negative errno. */
static int outer_socket(const struct shim_claim_port *request) {
  return keeper_socket(KEEPER_FD, request->family, request->type, request->protocol, request->address, request->port, request->options);
}

int claim_port(const struct shim_claim_port *request) {
  union any_address address;
  socklen_t size = parse_address(&address, request->family, request->address, request->port);
  if (size == 0) return -EINVAL;
  changed = true;
  int fd = kept ? outer_socket(request)
                : socket((int)request->family, (int)request->type | SOCK_CLOEXEC | SOCK_NONBLOCK, (int)request->protocol);
  if (fd < 0) return kept ? fd : -errno;
  int port = fd >= DESCRIPTORS_END ? -EMFILE : kept ? 0 : bind_port(fd, &address, size, request->options);
  if (kept && port == 0) port = getsockname(fd, &address.any, &size) < 0 ? -errno : port_of(&address);
  if (port < 0) close(fd);
  return port;
}

/* The place of a claim in three lists of the same length; -1: it is not there. */
static int place_of(struct wire_list protocols, struct wire_list addresses, struct wire_list ports, int protocol,
                    const union any_address *address) {
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
      return (int)i;
    }
  }
  return -1;
}

/* Whether a descriptor is a claim, and of what; -EBADF when it is open for nothing. */
static int claim_of(int fd, union any_address *address) {
  socklen_t size = sizeof *address;
  if (getsockname(fd, &address->any, &size) < 0) return errno == EBADF ? -EBADF : 0;
  return (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6) && !dns_has(fd) &&
         !relay_has(fd);
}

/* The protocol of a claim; 0: the descriptor is none; -EBADF: it is open for nothing. */
static int protocol_of(int fd, union any_address *address) {
  int protocol, claim = claim_of(fd, address);
  socklen_t length = sizeof protocol;
  if (claim != 1) return claim;
  return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0 ? 0 : protocol;
}

int retain_ports(const struct shim_retain_ports *request) {
  uint32_t count = request->ports.count;
  if (request->protocols.count != count || request->addresses.count != count) return EINVAL;
  changed = true;
  for (int fd = LISTENER_FD + 1; fd < DESCRIPTORS_END; fd++) {
    union any_address address;
    int protocol = protocol_of(fd, &address);
    if (protocol <= 0) continue;
    if (place_of(request->protocols, request->addresses, request->ports, protocol, &address) >= 0) continue;
    relay_forget(fd);
    close(fd);
  }
  return 0;
}

static int relay_to(int fd, int protocol, struct wire_list targets, struct wire_list ports, int place) {
  const char *text = wire_next_str(&targets);
  uint32_t port = wire_next_u32(&ports);
  for (int i = 0; i < place; i++) {
    text = wire_next_str(&targets);
    port = wire_next_u32(&ports);
  }
  union any_address target;
  socklen_t size = parse_address(&target, strchr(text, ':') == NULL ? AF_INET : AF_INET6, text, port);
  return size == 0 ? -EINVAL : relay_add(fd, protocol, &target, size);
}

int relay_ports(const struct shim_relay_ports *request) {
  uint32_t count = request->ports.count;
  if (request->protocols.count != count || request->addresses.count != count || request->targets.count != count ||
      request->target_ports.count != count) {
    return EINVAL;
  }
  relay_none();
  int protocol = 0;
  for (int fd = first_claim(); changed ? fd < DESCRIPTORS_END : protocol >= 0; fd++) {
    union any_address address;
    protocol = protocol_of(fd, &address);
    if (protocol <= 0) continue;
    int place = place_of(request->protocols, request->addresses, request->ports, protocol, &address);
    int result = place < 0 ? 0 : relay_to(fd, protocol, request->targets, request->target_ports, place);
    if (result < 0) return -result;
  }
  return 0;
}

void release_ports(void) {
  union any_address address;
  int claim = 0;
  relay_end();
  for (int fd = first_claim(); changed ? fd < DESCRIPTORS_END : claim >= 0; fd++) {
    claim = claim_of(fd, &address);
    if (claim == 1) close(fd);
  }
}
