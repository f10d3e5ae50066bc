import { expect, test } from "bun:test";
import { reportOf } from "./security-report.ts";

const texts = {
  status:
    "Name:\tsleep\nUid:\t1\t101000\t101000\t101000\nGid:\t2\t101001\t101001\t101001\nGroups:\t101001 101010 \nCapInh:\t0000000000000000\nCapPrm:\t0000000000001000\nCapEff:\t0000000000001000\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000001000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n",
  uidMap: "         0     100000      65536\n",
  gidMap: "         0          0 4294967295\n",
  mountinfo: [
    "1 0 0:50 / / rw,relatime - overlay overlay rw",
    "2 1 0:51 / /proc rw,nosuid - proc proc rw",
    "3 2 0:51 /bus /proc/bus ro,nosuid - proc proc rw",
    "4 2 0:5 /null /proc/kcore rw,nosuid - devtmpfs udev rw",
    "5 2 0:52 / /proc/acpi ro,relatime - tmpfs tmpfs ro",
    "6 2 0:53 / /proc/scratch rw,relatime - tmpfs tmpfs rw",
    "7 1 0:54 / /sys ro,nosuid - sysfs sysfs rw",
    "8 7 0:55 / /sys/firmware ro,relatime - tmpfs tmpfs ro",
    "9 7 0:56 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw",
    // Something was unmasked from inside, by a mount over the mask.
    "11 2 0:5 /null /proc/keys rw - devtmpfs udev rw",
    "12 2 0:51 /version /proc/keys rw - proc proc rw",
    "13 9 0:57 /x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
    "10 1 0:5 /null /data/proc/kcore rw - devtmpfs udev rw",
    "",
  ].join("\n"),
  limits:
    "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax open files            1024                 4096                 files     \n",
  cgroup: "4:devices:/berth/x\n0::/berth/x\n",
  label: "docker-default (enforce)\n",
  oomScoreAdj: "-500\n",
};

test("what the kernel's files say of a process is told as it is", () => {
  expect(reportOf(texts)).toEqual({
    User: { Uid: 101000, Gid: 101001, Groups: [101001, 101010] },
    UidMap: [{ ContainerId: 0, HostId: 100000, Size: 65536 }],
    GidMap: [{ ContainerId: 0, HostId: 0, Size: 4294967295 }],
    Capabilities: {
      Effective: ["CAP_NET_ADMIN"],
      Permitted: ["CAP_NET_ADMIN"],
      Inheritable: [],
      Bounding: expect.arrayContaining(["CAP_CHOWN", "CAP_SETFCAP"]),
      Ambient: ["CAP_NET_ADMIN"],
    },
    NoNewPrivileges: true,
    Seccomp: { Mode: "filter", Filters: 3 },
    Label: "docker-default (enforce)",
    Cgroups: ["4:devices:/berth/x", "0::/berth/x"],
    MaskedPaths: ["/proc/kcore", "/proc/acpi", "/sys/firmware"],
    ReadonlyPaths: ["/proc/bus", "/sys", "/sys/fs/cgroup"],
    Rlimits: [
      { Name: "cpu time", Soft: "unlimited", Hard: "unlimited" },
      { Name: "open files", Soft: "1024", Hard: "4096" },
    ],
    OomScoreAdj: -500,
  });
});

test("what a kernel does not have is nothing, and no right", () => {
  const empty = Object.fromEntries(Object.keys(texts).map((key) => [key, ""])) as typeof texts;
  expect(reportOf(empty)).toMatchObject({
    Capabilities: { Effective: [], Bounding: [] },
    NoNewPrivileges: false,
    Seccomp: { Mode: "disabled", Filters: 0 },
    MaskedPaths: [],
    UidMap: [],
    Label: "",
  });
});
