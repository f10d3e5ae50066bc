/**
 * Each field of a container's HostConfig: sent alone, and its effect seen in the container.
 */
import { expect } from "bun:test";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { scratchDirectory } from "../kits/scratch.ts";
import type { Caller } from "./caller.ts";
import { type Row, runRow, scenariosOf } from "./create-config.ts";
import {
  ended,
  eventually,
  execute,
  remove,
  type Scenarios,
  scripted,
  sleeper,
  start,
} from "./steps.ts";

const MIB = 1 << 20;

/** A file of the container's control group: as version 1 names it, or version 2. */
const cgroup = (controller: string, one: string, two: string) =>
  `cat /sys/fs/cgroup/${controller}/${one} 2>/dev/null || cat /sys/fs/cgroup/${two}`;

/** A block device of the host, and its numbers. */
const disk = readdirSync("/sys/block").find((name) => !/^(ram|zram)/.test(name)) ?? "loop0";
const diskNumbers = (() => {
  const { rdev } = statSync(`/dev/${disk}`);
  return `${rdev >> 8}:${rdev & 0xff}`;
})();
const throttle = (what: string, field: string): Row => [
  what,
  { HostConfig: { [field]: [{ Path: `/dev/${disk}`, Rate: 1_048_576 }] } },
  `cat /sys/fs/cgroup/blkio/blkio.throttle.* 2>/dev/null || cat /sys/fs/cgroup/io.max`,
  new RegExp(`${diskNumbers}.*1048576`),
];

const host = (fields: Readonly<Record<string, unknown>>) => ({ HostConfig: fields });

const limits: readonly Row[] = [
  ["cpu shares", host({ CpuShares: 512 }), cgroup("cpu", "cpu.shares", "cpu.weight"), /^(512|20)$/],
  [
    "cpu period and quota",
    host({ CpuPeriod: 50_000, CpuQuota: 25_000 }),
    cgroup("cpu", "cpu.cfs_quota_us", "cpu.max"),
    /^25000( 50000)?$/,
  ],
  [
    "cpus",
    host({ NanoCpus: 500_000_000 }),
    cgroup("cpu", "cpu.cfs_quota_us", "cpu.max"),
    /^50000( 100000)?$/,
  ],
  [
    "cpu set",
    host({ CpusetCpus: "0", CpusetMems: "0" }),
    "grep -E '(Cpus|Mems)_allowed_list' /proc/self/status | cut -f 2",
    "0\n0",
  ],
  [
    "memory",
    host({ Memory: 64 * MIB }),
    cgroup("memory", "memory.limit_in_bytes", "memory.max"),
    `${64 * MIB}`,
  ],
  [
    "memory and swap",
    host({ Memory: 64 * MIB, MemorySwap: 96 * MIB }),
    cgroup("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
    new RegExp(`^(${96 * MIB}|${32 * MIB})$`),
  ],
  [
    "memory reservation",
    host({ MemoryReservation: 32 * MIB }),
    cgroup("memory", "memory.soft_limit_in_bytes", "memory.low"),
    `${32 * MIB}`,
  ],
  ["processes", host({ PidsLimit: 77 }), cgroup("pids", "pids.max", "pids.max"), "77"],
  [
    "ulimits",
    host({ Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }] }),
    "ulimit -Sn; ulimit -Hn",
    "100\n200",
  ],
  ["OOM score", host({ OomScoreAdj: 500 }), "cat /proc/self/oom_score_adj", "500"],
  throttle("bytes read a second", "BlkioDeviceReadBps"),
  throttle("bytes written a second", "BlkioDeviceWriteBps"),
  throttle("reads a second", "BlkioDeviceReadIOps"),
  throttle("writes a second", "BlkioDeviceWriteIOps"),
];

const rights: readonly Row[] = [
  [
    "capabilities",
    host({ CapAdd: ["SYS_TIME"], CapDrop: ["CHOWN"] }),
    "grep CapEff /proc/self/status",
    "CapEff:\t00000000aa0425fa",
  ],
  [
    "privileged",
    host({ Privileged: true }),
    "ls /dev/loop-control && mkdir /m && mount -t tmpfs t /m && echo mounted",
    /mounted$/,
  ],
  [
    "a device",
    host({
      Devices: [{ PathOnHost: "/dev/loop0", PathInContainer: "/dev/k", CgroupPermissions: "r" }],
    }),
    "head -c 1 /dev/k >/dev/null && echo read; (echo x > /dev/k) 2>/dev/null || echo refused",
    "read\nrefused",
  ],
  [
    "device rules",
    host({ DeviceCgroupRules: ["b 7:* r"] }),
    "mknod /k b 7 0; head -c 1 /k >/dev/null && echo read",
    "read",
  ],
  [
    "security options",
    host({ SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] }),
    "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | cut -f 2",
    "1\n0",
  ],
  ["groups", host({ GroupAdd: ["2000"] }), "id -G", /\b2000\b/],
  ["read-only root", host({ ReadonlyRootfs: true }), "touch /x 2>&1", /Read-only file system/],
  [
    "masked and read-only paths",
    host({ MaskedPaths: ["/proc/version"], ReadonlyPaths: ["/etc"] }),
    "wc -c < /proc/version; touch /etc/x 2>&1; cat /proc/timer_list | wc -c | grep -v '^0$' | wc -l",
    /^0\n.*Read-only file system\n/,
  ],
  [
    "system controls",
    host({ Sysctls: { "net.ipv4.ip_default_ttl": "99" } }),
    "cat /proc/sys/net/ipv4/ip_default_ttl",
    "99",
  ],
];

const spaces: readonly Row[] = [
  ["a terminal's size", { Tty: true, ...host({ ConsoleSize: [24, 80] }) }, "stty size", "24 80"],
  ["no network", host({ NetworkMode: "none" }), "ls /sys/class/net", "lo"],
  [
    "private IPC",
    host({ IpcMode: "private", ShmSize: 32 * MIB }),
    "df -k /dev/shm | tail -1 | awk '{print $2}'",
    "32768",
  ],
  [
    "the host's processes",
    host({ PidMode: "host" }),
    "ls /proc | grep -c '^[0-9]*$' | grep -qv '^[1-4]$' && echo many",
    "many",
  ],
  [
    "the host's name",
    host({ UTSMode: "host" }),
    "cat /proc/sys/kernel/hostname",
    (await Bun.file("/proc/sys/kernel/hostname").text()).trim(),
  ],
  [
    "the host's control groups",
    host({ CgroupnsMode: "host" }),
    "cat /proc/self/cgroup | grep -c berth",
    /^[1-9]/,
  ],
  [
    "cgroup parent",
    host({ CgroupParent: "/some/parent", CgroupnsMode: "host" }),
    "cat /proc/self/cgroup",
    /\/some\/parent\//,
  ],
  [
    "an init",
    host({ Init: true }),
    "cat /proc/1/comm; test $$ -ne 1 && echo not-1",
    /init|berth[\s\S]*not-1/,
  ],
  [
    "name servers",
    host({ Dns: ["192.0.2.1"], DnsSearch: ["example.net"], DnsOptions: ["ndots:3"] }),
    "cat /etc/resolv.conf",
    /search example\.net[\s\S]*ndots:3/,
  ],
  ["hosts", host({ ExtraHosts: ["far:192.0.2.9"] }), "grep far /etc/hosts", "192.0.2.9\tfar"],
  [
    "tmpfs",
    host({ Tmpfs: { "/t": "size=1m,mode=700" } }),
    "stat -f -c %T /t; stat -c %a /t",
    "tmpfs\n700",
  ],
];

async function files(api: Caller): Promise<void> {
  const directory = scratchDirectory("contract-");
  writeFileSync(`${directory}/file`, "from the host");
  const mount = (more: object) => [{ Type: "bind", Source: directory, Target: "/b", ...more }];
  const rows: readonly Row[] = [
    [
      "",
      host({ Binds: [`${directory}:/b:ro`] }),
      "cat /b/file; touch /b/x 2>&1",
      /^from the host.*Read-only/s,
    ],
    [
      "",
      host({ Mounts: mount({ ReadOnly: true }) }),
      "cat /b/file; touch /b/x 2>&1",
      /^from the host.*Read-only/s,
    ],
    [
      "",
      host({
        Mounts: [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: MIB, Mode: 0o711 } }],
      }),
      "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'",
      "711\n1024",
    ],
    [
      "",
      host({
        Mounts: [
          {
            Type: "bind",
            Source: `${directory}/made`,
            Target: "/b",
            BindOptions: { CreateMountpoint: true },
          },
        ],
      }),
      "ls -d /b",
      "/b",
    ],
    [
      "",
      host({ Mounts: [{ Type: "volume", Target: "/etc", VolumeOptions: { NoCopy: true } }] }),
      "ls /etc/passwd 2>&1",
      /No such file/,
    ],
    [
      "",
      host({ VolumeDriver: "local", Binds: ["by-driver:/v"] }),
      "touch /v/x && echo made",
      "made",
    ],
  ];
  for (const row of rows) await runRow(api, row);
  rmSync(directory, { recursive: true });
  await volumes(api);
}

async function volumes(api: Caller): Promise<void> {
  const labelled = await api.call("ContainerCreate", {
    body: {
      ...sleeper,
      ...host({
        Mounts: [
          {
            Type: "volume",
            Source: "labelled",
            Target: "/v",
            VolumeOptions: { Labels: { a: "b" }, DriverConfig: { Name: "local" } },
          },
        ],
      }),
    },
  });
  const volume = await api.call("VolumeInspect", { path: { name: "labelled" } });
  labelled.shows(
    "body HostConfig.Mounts",
    [volume.at("Labels"), volume.at("Driver")],
    [{ a: "b" }, "local"],
  );
  const heir = await api.call("ContainerCreate", {
    body: scripted("ls -d /v", host({ VolumesFrom: [String(labelled.at("Id"))] })),
  });
  await api.call("ContainerStart", { path: { id: String(heir.at("Id")) } });
  for (const { values } of [labelled, heir])
    await api.call("ContainerInspect", { path: { id: (values[0] as { Id: string }).Id } });
  heir.shows("body HostConfig.VolumesFrom", await ended(api, String(heir.at("Id"))), 0);
  await remove(api, String(heir.at("Id")));
  await remove(api, String(labelled.at("Id")));
  await api.call("VolumePrune", { query: { filters: { all: ["true"] } } });
}

async function neighbours(api: Caller): Promise<void> {
  const other = await start(api, { ...sleeper, HostConfig: { IpcMode: "shareable" } }, "other");
  const space = (id: string, kind: string) => execute(api, id, "readlink", `/proc/self/ns/${kind}`);
  const answer = await api.call("ContainerCreate", {
    body: {
      ...sleeper,
      ...host({
        NetworkMode: `container:${other}`,
        PidMode: "container:other",
      }),
    },
  });
  const path = { id: String(answer.at("Id")) };
  await api.call("ContainerStart", { path });
  for (const [field, kind] of [
    ["NetworkMode", "net"],
    ["PidMode", "pid"],
  ] as const)
    answer.shows(`body HostConfig.${field}`, await space(path.id, kind), await space(other, kind));
  const linked = await api.call("ContainerCreate", {
    body: scripted("grep alias /etc/hosts", host({ Links: ["other:alias"] })),
  });
  const linkedPath = { id: String(linked.at("Id")) };
  await api.call("ContainerStart", { path: linkedPath });
  await api.call("ContainerInspect", { path: linkedPath });
  linked.shows("body HostConfig.Links", await ended(api, linkedPath.id), 0);
  for (const id of [path.id, linkedPath.id, other]) await remove(api, id);
}

async function ports(api: Caller): Promise<void> {
  const served = "mkdir /w; echo served > /w/index.html; httpd -f -h /w -p 80";
  const one = await api.call("ContainerCreate", {
    body: scripted(
      served,
      host({ PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] } }),
    ),
  });
  const all = await api.call("ContainerCreate", {
    body: scripted(served, { ExposedPorts: { "80/tcp": {} }, ...host({ PublishAllPorts: true }) }),
  });
  for (const [answer, item] of [
    [one, "body HostConfig.PortBindings"],
    [all, "body HostConfig.PublishAllPorts"],
  ] as const) {
    const path = { id: String(answer.at("Id")) };
    await api.call("ContainerStart", { path });
    const inspect = await api.call("ContainerInspect", { path });
    const [binding] = (inspect.at("NetworkSettings.Ports") as { "80/tcp": { HostPort: string }[] })[
      "80/tcp"
    ];
    const page = await eventually(
      () =>
        fetch(`http://127.0.0.1:${binding?.HostPort}/`).then((response) => response.text(), String),
      (text) => text === "served\n",
    );
    answer.shows(item, page, "served\n");
    const list = await api.call("ContainerList");
    expect(list.at("0.Ports.0")).toMatchObject({ PrivatePort: 80, Type: "tcp" });
    await remove(api, path.id);
  }
}

async function lives(api: Caller): Promise<void> {
  const again = await api.call("ContainerCreate", {
    body: scripted("exit 3", host({ RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 } })),
  });
  const path = { id: String(again.at("Id")) };
  await api.call("ContainerStart", { path });
  const inspect = await eventually(
    () => api.call("ContainerInspect", { path }),
    (answer) => answer.at("State.Status") === "exited",
  );
  again.shows("body HostConfig.RestartPolicy", inspect.at("RestartCount"), 1);
  await remove(api, path.id);
  const short = await api.call("ContainerCreate", {
    body: scripted("", host({ AutoRemove: true })),
  });
  const gone = { id: String(short.at("Id")) };
  const waiting = api.call("ContainerWait", { path: gone, query: { condition: "removed" } });
  await api.call("ContainerStart", { path: gone });
  (await waiting).shows("query condition", (await waiting).at("StatusCode"), 0);
  const missing = await api.call("ContainerInspect", { path: gone, status: 404 });
  short.shows("body HostConfig.AutoRemove", missing.status, 404);
}

/** Fields that only inspect shows. */
async function shown(api: Caller): Promise<void> {
  const fields = {
    ContainerIDFile: "/tmp/cid",
    Annotations: { note: "kept" },
    LogConfig: { Type: "local", Config: { "max-size": "1m" } },
    Runtime: "berth",
  };
  const answer = await api.call("ContainerCreate", { body: { ...sleeper, HostConfig: fields } });
  const path = { id: String(answer.at("Id")) };
  const inspect = await api.call("ContainerInspect", { path });
  for (const [field, value] of Object.entries(fields))
    answer.shows(`body HostConfig.${field}`, inspect.at(`HostConfig.${field}`), value);
  const all = { all: true, filters: { id: [path.id] } };
  const list = await api.call("ContainerList", { query: all });
  expect(list.at("0.HostConfig")).toEqual({ NetworkMode: "bridge", Annotations: { note: "kept" } });
  await api.call("SystemDataUsage");
  await remove(api, path.id);
}

async function refusals(api: Caller): Promise<void> {
  const gpus = {
    Driver: "none",
    Count: 1,
    DeviceIDs: ["0"],
    Capabilities: [["gpu"]],
    Options: { a: "b" },
  };
  const refused = await api.call("ContainerCreate", {
    body: { ...sleeper, HostConfig: { DeviceRequests: [gpus] } },
    status: 400,
  });
  const words = expect.stringMatching(
    /could not select device driver "none" with capabilities: \[\[gpu\]\]/,
  );
  refused.shows("body HostConfig.DeviceRequests", refused.message, words);
  const warned = await api.call("ContainerCreate", {
    body: {
      ...sleeper,
      HostConfig: { NetworkMode: "host", PortBindings: { "80/tcp": [{ HostPort: "80" }] } },
    },
  });
  expect(warned.at("Warnings")).toEqual([
    "Published ports are discarded when using host network mode",
  ]);
  await remove(api, String(warned.at("Id")));
}

/** The scenarios. */
export const createHostScenarios: Scenarios = {
  ...scenariosOf([...limits, ...rights, ...spaces]),
  "create: mounts": files,
  "create: other containers' namespaces, links": neighbours,
  "create: published ports": ports,
  "create: restart policy, automatic removal": lives,
  "create: what only inspect shows": shown,
  "create: refusals and warnings": refusals,
};
