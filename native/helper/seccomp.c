/*
 * Compiling seccomp rules to a BPF program with libseccomp, as a binary tree over syscall numbers.
 */
#include "helper.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAX_ARGS 6

static int add_rule(scmp_filter_ctx filter, const struct helper_seccomp_rule *rule) {
  struct scmp_arg_cmp args[MAX_ARGS];
  struct wire_list index = rule->arg_index, op = rule->arg_op;
  struct wire_list value = rule->arg_value, two = rule->arg_value_two;
  uint32_t count = index.count;
  if (count > MAX_ARGS || op.count != count || value.count != count || two.count != count) return -EINVAL;
  for (uint32_t i = 0; i < count; i++) {
    args[i] = (struct scmp_arg_cmp){
        .arg = wire_next_u32(&index),
        .op = (enum scmp_compare)wire_next_u32(&op),
        .datum_a = wire_next_u64(&value),
        .datum_b = wire_next_u64(&two),
    };
  }
  struct wire_list names = rule->names;
  for (uint32_t i = 0; i < rule->names.count; i++) {
    int number = seccomp_syscall_resolve_name(wire_next_str(&names));
    if (number == __NR_SCMP_ERROR) continue;
    int result = seccomp_rule_add_array(filter, rule->action, number, count, args);
    /* A syscall that one of the architectures does not have, or a rule equal to the default action. */
    if (result < 0 && result != -EDOM && result != -EACCES && result != -EEXIST) return result;
  }
  return 0;
}

static int add_rules(struct answer *out, scmp_filter_ctx filter, struct wire_bytes rules) {
  for (size_t at = 0; at < rules.length;) {
    uint32_t length;
    uint16_t code;
    struct helper_seccomp_rule rule;
    if (rules.length - at < WIRE_HEADER) return fail(out, EPROTO, "seccomp rules");
    memcpy(&length, rules.data + at, 4);
    memcpy(&code, rules.data + at + 4, 2);
    at += WIRE_HEADER;
    if (code != HELPER_SECCOMP_RULE || rules.length - at < length ||
        !helper_seccomp_rule_read(&rule, rules.data + at, length)) {
      return fail(out, EPROTO, "seccomp rule");
    }
    int result = add_rule(filter, &rule);
    if (result < 0) return fail(out, -result, "seccomp rule for %s", (const char *)rule.names.at + 4);
    at += length;
  }
  return 0;
}

static int export_filter(struct answer *out, scmp_filter_ctx filter) {
  scoped_fd int fd = memfd_create("filter", MFD_CLOEXEC);
  if (fd < 0) return fail(out, errno, "memfd_create");
  int result = seccomp_export_bpf(filter, fd);
  if (result < 0) return fail(out, -result, "export of the seccomp filter");
  struct stat info;
  if (fstat(fd, &info) < 0 || (size_t)info.st_size > ANSWER_SIZE) return fail(out, E2BIG, "seccomp filter");
  ssize_t n = pread(fd, out->buffer, (size_t)info.st_size, 0);
  if (n != info.st_size) return fail(out, EIO, "read of the seccomp filter");
  out->length = (size_t)n;
  return 0;
}

int handle_seccomp(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_seccomp request;
  if (!helper_seccomp_read(&request, body, length)) return fail(out, EPROTO, "seccomp");
  scmp_filter_ctx filter = seccomp_init(request.default_action);
  if (filter == NULL) return fail(out, EINVAL, "seccomp default action %#x", request.default_action);
  int result = 0;
  struct wire_list names = request.architectures;
  for (uint32_t i = 0; i < request.architectures.count && result == 0; i++) {
    const char *name = wire_next_str(&names);
    uint32_t arch = seccomp_arch_resolve_name(name);
    int added = arch == 0 ? -EINVAL : seccomp_arch_add(filter, arch);
    if (added < 0 && added != -EEXIST) result = fail(out, -added, "seccomp architecture %s", name);
  }
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result == 0) result = add_rules(out, filter, request.rules);
  if (result == 0) result = export_filter(out, filter);
  seccomp_release(filter);
  return result;
}
