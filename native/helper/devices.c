/*
 * Device access in control groups of version 2, which only an eBPF program can limit.
 */
#include "helper.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

static int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

int handle_device_filter(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_device_filter request;
  if (!helper_device_filter_read(&request, body, length)) return fail(out, EPROTO, "device_filter");
  scoped_fd int cgroup = open(request.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (cgroup < 0) return fail(out, errno, "open %s", request.cgroup);
  union bpf_attr load = {
      .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
      .insns = (uint64_t)(uintptr_t)request.program.data,
      .insn_cnt = (uint32_t)(request.program.length / sizeof(struct bpf_insn)),
      .license = (uint64_t)(uintptr_t) "Apache-2.0",
  };
  scoped_fd int program = bpf(BPF_PROG_LOAD, &load);
  if (program < 0) return fail(out, errno, "load the device filter");
  /* The cgroup holds the program from here on; both go together. */
  union bpf_attr attach = {
      .target_fd = (uint32_t)cgroup,
      .attach_bpf_fd = (uint32_t)program,
      .attach_type = BPF_CGROUP_DEVICE,
      .attach_flags = BPF_F_ALLOW_MULTI,
  };
  if (bpf(BPF_PROG_ATTACH, &attach) < 0) return fail(out, errno, "attach the device filter to %s", request.cgroup);
  return 0;
}
