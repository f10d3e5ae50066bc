/*
 * The plan: what of it is for the shim, and the interpreter that the child runs. It takes no decision; each record is one
 * operation, executed in order.
 */
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kernel.h"

struct child child = {.status = -1, .root = -1, .null_fd = -1, .proc = -1, .empty = -1};

static const operation operations[] = {
    [OP_JOIN_NS] = do_join_ns,
    [OP_JOIN_CGROUP] = do_join_cgroup,
    [OP_UNSHARE] = do_unshare,
    [OP_HOSTNAME] = do_hostname,
    [OP_DOMAINNAME] = do_domainname,
    [OP_LINK_UP] = do_link_up,
    [OP_DNS_SOCKET] = do_dns_socket,
    [OP_PROPAGATION] = do_propagation,
    [OP_ENTER] = do_enter,
    [OP_HOST_DIRECTORY] = do_host_directory,
    [OP_ROOT_MOUNT] = do_root_mount,
    [OP_ROOT_BIND] = do_root_bind,
    [OP_ROOT_FUSE] = do_root_fuse,
    [OP_MOUNT] = do_mount,
    [OP_BIND] = do_bind,
    [OP_MKDIR] = do_mkdir,
    [OP_MKNOD] = do_mknod,
    [OP_SYMLINK] = do_symlink,
    [OP_MASK] = do_mask,
    [OP_FILE_LABEL] = do_file_label,
    [OP_READONLY] = do_readonly,
    [OP_ROOT_ATTRS] = do_root_attrs,
    [OP_SYSCTL] = do_sysctl,
    [OP_PTY] = do_pty,
    [OP_ATTACH] = do_attach,
    [OP_ATTACH_ROOT] = do_attach_root,
    [OP_PIVOT_ROOT] = do_pivot_root,
    [OP_OOM_SCORE_ADJ] = do_oom_score_adj,
    [OP_RLIMIT] = do_rlimit,
    [OP_UMASK] = do_umask,
    [OP_BOUNDING] = do_bounding,
    [OP_USER] = do_user,
    [OP_WORKDIR] = do_workdir,
    [OP_CAPABILITIES] = do_capabilities,
    [OP_STDIO_OWNER] = do_stdio_owner,
    [OP_NO_NEW_PRIVS] = do_no_new_privs,
    [OP_SECCOMP] = do_seccomp,
    [OP_LABEL] = do_label,
    [OP_INIT] = do_init,
    [OP_EXEC] = do_exec,
};

/* The next record of a plan, or false at its end or when it is cut short. */
static bool next_record(const uint8_t **at, const uint8_t *end, uint16_t *code, const uint8_t **body, uint32_t *length) {
  if ((size_t)(end - *at) < WIRE_HEADER) return false;
  memcpy(length, *at, 4);
  memcpy(code, *at + 4, 2);
  if ((size_t)(end - *at) - WIRE_HEADER < *length) return false;
  *body = *at + WIRE_HEADER;
  *at = *body + *length;
  return true;
}

static int read_shim_op(struct shim_plan *out, uint16_t code, const uint8_t *body, uint32_t length) {
  union {
    struct op_exit_file exit;
    struct op_oom_file oom;
    struct op_join_pid_ns pid;
    struct op_clone_into_cgroup cgroup;
    struct op_dns dns;
    struct op_exec_into exec;
    struct op_user_ns user;
  } op;
  switch (code) {
    case OP_SHIM: return op_shim_read(&out->shim, body, length) ? 0 : -EPROTO;
    case OP_LOG: return op_log_read(&out->log, body, length) ? 0 : -EPROTO;
    case OP_EXIT_FILE:
      if (!op_exit_file_read(&op.exit, body, length)) return -EPROTO;
      out->exit_path = op.exit.path;
      return 0;
    case OP_OOM_FILE:
      if (!op_oom_file_read(&op.oom, body, length)) return -EPROTO;
      out->oom_path = op.oom.path;
      return 0;
    case OP_JOIN_PID_NS:
      if (!op_join_pid_ns_read(&op.pid, body, length)) return -EPROTO;
      out->pid_namespace = op.pid.fd != WIRE_NO_FD ? (int)op.pid.fd : open(op.pid.path, O_RDONLY | O_CLOEXEC);
      return out->pid_namespace < 0 ? -errno : 0;
    case OP_USER_NS:
      if (!op_user_ns_read(&op.user, body, length)) return -EPROTO;
      out->user_namespace = (int)op.user.fd;
      return 0;
    case OP_CLONE_INTO_CGROUP:
      if (!op_clone_into_cgroup_read(&op.cgroup, body, length)) return -EPROTO;
      out->cgroup_path = op.cgroup.path;
      return 0;
    case OP_DNS:
      if (!op_dns_read(&op.dns, body, length)) return -EPROTO;
      out->upstreams = op.dns.upstreams;
      return 0;
    case OP_ROOT_SERVER: return op_root_server_read(&out->server, body, length) ? 0 : -EPROTO;
    case OP_EXEC_INTO:
      if (!op_exec_into_read(&op.exec, body, length)) return -EPROTO;
      out->is_exec = true;
      out->namespaces = op.exec.namespaces;
      out->shim.options = op.exec.options;
      return 0;
    default: return -EPROTO;
  }
}

/* Reads the records for the shim; the child skips them. */
int read_shim_plan(struct shim_plan *out, const uint8_t *plan, size_t length) {
  const uint8_t *at = plan, *end = plan + length, *body;
  uint16_t code;
  uint32_t size;
  memset(out, 0, sizeof *out);
  out->pid_namespace = out->user_namespace = -1;
  while (next_record(&at, end, &code, &body, &size)) {
    if (code >= OP_JOIN_NS) continue;
    int result = read_shim_op(out, code, body, size);
    if (result < 0) return result;
  }
  return at == end ? 0 : -EPROTO;
}

int failing(int error, const char *what, const char *subject) {
  snprintf(child.detail, sizeof child.detail, subject != NULL ? "%s %s" : "%s", what, subject);
  return -error;
}

/* Sends a report, with a descriptor if fd is not negative. */
int send_report(const struct report *report, int fd) {
  struct iovec data = {(void *)report, sizeof *report};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
  }
  return sendmsg(child.status, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void report_failure(uint16_t op, uint32_t index, int error) {
  struct report report = {.kind = REPORT_FAILED, .op = op, .index = index, .error = (uint32_t)error};
  memcpy(report.detail, child.detail, sizeof report.detail);
  send_report(&report, -1);
}

_Noreturn static void give_up(uint16_t op, uint32_t index, int error) {
  report_failure(op, index, error);
  _exit(127);
}

/* How many records stand before the border; 0 when there is none. */
static uint32_t border_of(const uint8_t *plan, size_t length) {
  const uint8_t *at = plan, *end = plan + length, *body;
  uint16_t code;
  uint32_t size;
  for (uint32_t index = 0; next_record(&at, end, &code, &body, &size); index++) {
    if (code == OP_ENTER) return index;
  }
  return 0;
}

static int run_one(uint16_t code, const uint8_t *body, uint32_t size) {
  operation run = code < sizeof operations / sizeof *operations ? operations[code] : NULL;
  child.detail[0] = '\0';
  return run == NULL ? failing(ENOSYS, "unknown operation", NULL) : run(body, size);
}

int run_outside(const uint8_t *plan, size_t length, int status) {
  child.status = status;
  const uint8_t *at = plan, *end = plan + length, *body;
  uint16_t code;
  uint32_t size, border = border_of(plan, length);
  for (uint32_t index = 0; next_record(&at, end, &code, &body, &size); index++) {
    bool ours = border > 0 ? index < border && code >= OP_JOIN_NS : code == OP_JOIN_CGROUP;
    int result = ours ? run_one(code, body, size) : 0;
    if (result < 0) {
      report_failure(code, index, -result);
      return result;
    }
  }
  return 0;
}

/* In the child: executes every operation; the last, exec, does not come back. */
_Noreturn void run_plan(const uint8_t *plan, size_t length, int status, bool is_exec) {
  child.status = status;
  child.is_exec = is_exec;
  const uint8_t *at = plan, *end = plan + length, *body;
  uint16_t code = 0;
  uint32_t size, index = 0, border = border_of(plan, length);
  for (; next_record(&at, end, &code, &body, &size); index++) {
    /* What is for the shim or the go-between, and in an exec the cgroups, which have been joined from outside. */
    if (code < OP_JOIN_NS || index < border || (is_exec && code == OP_JOIN_CGROUP)) continue;
    int result = run_one(code, body, size);
    if (result < 0) give_up(code, index, -result);
  }
  failing(EPROTO, "a plan without exec", NULL);
  give_up(code, index, EPROTO);
}
