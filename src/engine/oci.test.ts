import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import Ajv from "ajv";
import {
  defaultSeccompProfile,
  type HostFeatures,
  type PlanExtras,
  toLaunchPlan,
} from "../runtime/index.ts";
import type { ContainerConfig, HostConfig } from "../spec/engine-api.ts";
import { planOps } from "../spec/wire.ts";
import { encodeRecords } from "../spec/wire-codec.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import { environmentOf, type SpecInput, toOciSpec } from "./oci.ts";
import { checkResources, resourcesOf, resourceWarnings } from "./oci-resources.ts";

const features: HostFeatures = {
  overlay: true,
  lowerdirPlus: true,
  inUserNamespace: false,
  raisesLimits: true,
  capabilities: 0x1fffeffffffn,
  maxFiles: 20000,
  lowestOomScore: -1000,
  cpus: 2,
  seccomp: { architecture: "SCMP_ARCH_X86_64", arch: "amd64", kernel: "6.18.0" },
};
const host = {
  cpus: 2,
  memoryNodes: "0",
  swapAccounting: true,
  has: () => true,
  can: () => true,
  deviceNumbers: () => ({ major: 8, minor: 0 }),
};

function input(
  config: ContainerConfig,
  hostConfig: HostConfig,
  more: Partial<SpecInput> = {},
): SpecInput {
  const record: ContainerRecord = {
    id: "a".repeat(64),
    name: "unit",
    created: "",
    image: "",
    chain: [],
    config: { Hostname: "unit", Cmd: ["true"], ...config },
    hostConfig,
    mounts: [],
    state: {
      status: "created",
      pid: 0,
      exitCode: 0,
      error: "",
      oomKilled: false,
      startedAt: "",
      finishedAt: "",
    },
    restartCount: 0,
    hasBeenStarted: false,
  };
  return {
    record,
    user: { uid: 0, gid: 0, groups: [0], home: "/root" },
    rootPath: "/run/berth/root",
    files: { hosts: "/f/hosts", hostname: "/f/hostname", resolvConf: "/f/resolv.conf" },
    namespaces: { network: "own", pid: "own", ipc: "own", uts: "own" },
    cgroupPath: "/berth/x",
    features,
    resourceHost: host,
    seccomp: defaultSeccompProfile,
    linkEnvironment: [],
    devices: [],
    imageLayers: (chain) => [...chain].reverse(),
    emptyDirectory: () => "/empty",
    ownerOf: () => ({ uid: 1000, gid: 1000 }),
    ...more,
  };
}

const planExtras: PlanExtras = {
  id: "x",
  root: {
    kind: "overlay",
    lowerdirs: ["/l1", "/l0"],
    upperdir: "/u",
    workdir: "/w",
    volatile: true,
  },
  mountPoint: "/m",
  netnsFd: 10,
  cgroupJoinFiles: ["/sys/fs/cgroup/cpu/berth/x/tasks"],
  cgroupMounts: [{ directory: "cpu", option: "cpu", path: "/sys/fs/cgroup/cpu" }],
  seccompFilter: new Uint8Array(8),
  stdin: { open: false, once: false },
  exitFile: "/e",
  lowerdirPlus: true,
  init: false,
  subpaths: new Map(),
  hostMounts: "/proc/self/ns/mnt",
};

/** The schema without the platforms whose files are not there. */
function linuxOnly(schema: Record<string, unknown>): Record<string, unknown> {
  const properties = Object.entries(schema.properties as Record<string, { $ref?: string }>);
  const kept = properties.filter(([, { $ref = "" }]) => !/^config-(?!linux)/.test($ref));
  return { ...schema, properties: Object.fromEntries(kept) };
}

const specs = "../shared/specs/oci-runtime";
test.skipIf(!existsSync(specs))(
  "the configuration validates against the OCI runtime schema (skipped where the schemas are not)",
  () => {
    const ajv = new Ajv({ strict: false, validateFormats: false, validateSchema: false });
    // The schemas are of draft 4, whose words that they use mean the same today.
    const read = (file: string) => {
      const { $schema: _, ...schema } = JSON.parse(
        readFileSync(`${specs}/${file}`, "utf8"),
      ) as Record<string, unknown>;
      return schema;
    };
    for (const file of readdirSync(specs))
      if (file !== "config-schema.json") ajv.addSchema(read(file), file);
    const validate = ajv.compile(linuxOnly(read("config-schema.json")));
    const cases: [ContainerConfig, HostConfig][] = [
      [{}, {}],
      [{ Tty: true }, { Privileged: true, ConsoleSize: [24, 80] }],
      [
        { Domainname: "d" },
        {
          Memory: 64 << 20,
          NanoCpus: 5e8,
          PidsLimit: 9,
          CapDrop: ["ALL"],
          ReadonlyRootfs: true,
          Sysctls: { "net.core.somaxconn": "1" },
          Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
          OomScoreAdj: 5,
        },
      ],
    ];
    for (const [config, hostConfig] of cases) {
      validate(JSON.parse(JSON.stringify(toOciSpec(input(config, hostConfig)))));
      expect(validate.errors ?? []).toEqual([]);
    }
  },
);

test("capabilities are Docker's fourteen, more or fewer as asked, and never more than the engine's own", () => {
  const of = (hostConfig: HostConfig) => toOciSpec(input({}, hostConfig)).process.capabilities;
  expect(of({}).bounding.length).toBe(14);
  expect(of({}).inheritable).toEqual([]);
  expect(of({ CapAdd: ["net_admin"] }).bounding).toContain("CAP_NET_ADMIN");
  expect(of({ CapAdd: ["ALL"], CapDrop: ["CHOWN"] }).bounding).not.toContain("CAP_CHOWN");
  expect(of({ CapDrop: ["ALL"], CapAdd: ["CAP_KILL"] }).bounding).toEqual(["CAP_KILL"]);
  expect(of({ Privileged: true }).bounding).not.toContain("CAP_SYS_RESOURCE");
});

test("what is added is in effect for a user that is not root, and nothing of the usual is", () => {
  const user = { uid: 5, gid: 5, groups: [], home: "/" };
  const of = (hostConfig: HostConfig) =>
    toOciSpec(input({}, hostConfig, { user })).process.capabilities;
  for (const hostConfig of [{}, { Privileged: true, CapAdd: ["NET_ADMIN"] }])
    expect(of(hostConfig)).toMatchObject({
      permitted: [],
      effective: [],
      inheritable: [],
      ambient: [],
    });
  const one = ["CAP_NET_ADMIN"];
  expect(of({ CapAdd: ["NET_ADMIN"] })).toMatchObject({
    ...{ permitted: one, effective: one, inheritable: one, ambient: one },
  });
  expect(of({ CapAdd: ["NET_ADMIN", "KILL"], CapDrop: ["KILL"] }).ambient).toEqual(one);
  const all = of({ CapAdd: ["ALL"], CapDrop: ["CHOWN"] });
  expect([all.ambient, all.ambient.includes("CAP_CHOWN")]).toEqual([all.bounding, false]);
});

test("profile and labels are told to the kernel while all rights are there, and mounts say the label of their files", () => {
  const made = input({}, {}, { noNewPrivileges: true });
  const record = {
    ...made.record,
    appArmorProfile: "web",
    processLabel: "u:r:container_t:s0:c1,c2",
    mountLabel: "u:object_r:container_file_t:s0:c1,c2",
  };
  const spec = toOciSpec({ ...made, record });
  expect(spec.process).toMatchObject({
    apparmorProfile: "web",
    selinuxLabel: "u:r:container_t:s0:c1,c2",
  });
  const ops = (init: boolean) => toLaunchPlan(spec, { ...planExtras, init });
  const labels = (init: boolean) => ops(init).filter(({ name }) => name === "label");
  const exec = { name: "label" as const, file: "exec", value: "u:r:container_t:s0:c1,c2" };
  expect(labels(false)).toEqual([
    exec,
    { name: "label" as const, file: "apparmor/exec", value: "exec web" },
  ]);
  expect(labels(true)).toEqual([
    exec,
    { name: "label" as const, file: "apparmor/current", value: "changeprofile web" },
  ]);
  const order = ops(false).map(({ name }) => name);
  for (const later of ["bounding", "user", "no_new_privs", "seccomp", "exec"] as const)
    expect(order.indexOf(later)).toBeGreaterThan(order.lastIndexOf("label"));
  const context = "context=u:object_r:container_file_t:s0:c1,c2";
  const told = ops(false).flatMap((op) =>
    (op.name === "mount" || op.name === "root_mount") && op.params.includes(context)
      ? [op.name === "mount" ? op.target : "/"]
      : [],
  );
  expect(told).toEqual(["/", "/dev", "/dev/pts", "/sys/fs/cgroup", "/dev/shm"]);
  // What takes no label of whoever mounts it has it afterwards.
  const value = context.slice("context=".length);
  const all = ops(false);
  const queue = all.findIndex((op) => op.name === "mount" && op.target === "/dev/mqueue");
  expect(all[queue + 1]).toEqual({ name: "file_label", path: "/dev/mqueue", value });
  const masks = all.filter((op) => op.name === "mask");
  expect(masks.length).toBeGreaterThan(0);
  for (const mask of masks) expect(mask.params).toEqual([context]);
  // One layer of an image is mounted as two, since a bind has its source's label.
  const image = {
    type: "image" as const,
    source: "sha256:x",
    target: "/i",
    chain: ["a"],
    readOnly: true,
  };
  const mounts: MountRecord[] = [
    { ...image, recursive: false, propagation: "", mode: "", copyUp: false },
  ];
  expect(toOciSpec({ ...made, record: { ...record, mounts } }).mounts).toContainEqual(
    expect.objectContaining({
      destination: "/i",
      type: "overlay",
      options: ["ro", "lowerdir=a:/empty"],
    }),
  );
  record.hostConfig = { SecurityOpt: ["label=nested"] };
  expect(toOciSpec({ ...made, record }).mounts).toContainEqual(
    expect.objectContaining({ destination: "/sys/fs/selinux", type: "selinuxfs" }),
  );
  const plain = toLaunchPlan(toOciSpec(made), planExtras);
  expect(
    JSON.stringify(plain, (_, value) => (typeof value === "bigint" ? `${value}` : value)),
  ).not.toMatch(/context=|"label"/);
});

test("a plan enters namespaces and cgroups before it mounts, and drops its rights after the root has changed", () => {
  const spec = toOciSpec(input({}, { Binds: [] }));
  const ops = toLaunchPlan(spec, planExtras);
  const order = ops.map((op) => op.name);
  const at = (name: (typeof order)[number]) => order.indexOf(name);
  const steps = [
    "shim",
    "join_ns",
    "join_cgroup",
    "unshare",
    "propagation",
    "root_mount",
    "mask",
    "pivot_root",
    "workdir",
    "bounding",
    "seccomp",
    "user",
    "capabilities",
    "exec",
  ] as const;
  expect(steps.map(at)).toEqual(steps.map(at).toSorted((a, b) => a - b));
  expect(order.at(-1)).toBe("exec");
  const root = ops.find((op) => op.name === "root_mount");
  expect(root?.params).toEqual([
    "lowerdir+=/l1",
    "lowerdir+=/l0",
    "upperdir=/u",
    "workdir=/w",
    "index=off",
    "volatile",
  ]);
  expect(encodeRecords(planOps, ...ops).length).toBeGreaterThan(1000);
});

test("with no-new-privileges the filter comes last of all", () => {
  const spec = toOciSpec(input({}, { SecurityOpt: ["no-new-privileges"] }));
  expect(spec.process.noNewPrivileges).toBe(true);
});

test("the environment has PATH, HOSTNAME and HOME unless given; a bare name removes", () => {
  expect(environmentOf({ Env: ["A=1", "HOSTNAME"] }, "h", "/root", true)).toEqual([
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=xterm",
    "A=1",
    "HOME=/root",
  ]);
});

test("a limit on what no controller of the host counts is discarded, with docker's warning", () => {
  const config = { Memory: 32 << 20, NanoCpus: 1e9, PidsLimit: 5, CpusetCpus: "0" };
  const without = (...missing: string[]) => ({
    ...host,
    has: (name: string) => !missing.includes(name),
  });
  const text = "or the cgroup is not mounted.";
  expect(resourceWarnings(config, without("memory", "cpuset"))).toEqual([
    `Your kernel does not support memory limit capabilities ${text} Limitation discarded.`,
    `Your kernel does not support cpuset ${text} Cpuset discarded.`,
  ]);
  const left = resourcesOf(config, without("memory", "cpuset"));
  expect(left.memory?.limit).toBeUndefined();
  expect(left.cpu).toEqual({ period: 100_000, quota: 100_000 });
  expect(left.pids).toEqual({ limit: 5 });
  expect(resourcesOf(config, without("cpu", "pids"))).toMatchObject({
    memory: { limit: 32 << 20 },
    cpu: { cpus: "0" },
  });
  expect(resourcesOf(config, without("cpu", "pids")).pids).toBeUndefined();
  // Nobody looks then whether there is such a device.
  const rates = [{ Path: "/nonexistent", Rate: 1 }];
  const throttles = {
    ...{ BlkioDeviceReadBps: rates, BlkioDeviceWriteBps: rates },
    ...{ BlkioDeviceReadIOps: rates, BlkioDeviceWriteIOps: rates },
  };
  expect(resourceWarnings(throttles, without("blkio"))).toEqual([
    `Your kernel does not support BPS Block I/O read limit ${text} Block I/O BPS read limit discarded.`,
    `Your kernel does not support BPS Block I/O write limit ${text} Block I/O BPS write limit discarded.`,
    `Your kernel does not support IOPS Block read limit ${text} Block I/O IOPS read limit discarded.`,
    `Your kernel does not support IOPS Block write limit ${text} Block I/O IOPS write limit discarded.`,
  ]);
  const unlimited = { ...without("blkio"), deviceNumbers: () => expect.unreachable() };
  expect(resourcesOf(throttles, unlimited).blockIO).toEqual({});
});

test("limits that contradict each other are refused in Docker's words", () => {
  for (const [config, message] of [
    [{ Memory: 1000 }, "Minimum memory limit allowed is 6MB"],
    [
      { Memory: 8 << 20, MemorySwap: 7 << 20 },
      "Minimum memoryswap limit should be larger than memory limit",
    ],
    [{ NanoCpus: 3e9 }, "as there are only 2 CPUs available"],
    [{ CpusetCpus: "0-5" }, "Requested CPUs are not available"],
    [{ BlkioWeight: 5 }, "Range of blkio weight is from 10 to 1000"],
  ] as const)
    expect(() => checkResources(config, host)).toThrow(message);
});
