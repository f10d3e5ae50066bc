/** Every field of a creation has its effect inside the container, or is refused in Docker's words. */
import { expect, test } from "bun:test";
import type { ContainerConfig, HostConfig, NetworkingConfig } from "../../src/spec/engine-api.ts";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

interface Asked extends ContainerConfig {
  readonly HostConfig?: HostConfig;
  readonly NetworkingConfig?: NetworkingConfig;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly Id: string; readonly Warnings: string[]; readonly message: string };
}

async function create(asked: Asked, version = ""): Promise<Answer> {
  const body = { Image: "busybox", ...asked };
  const { status, text } = await daemon.api("POST", `${version}/containers/create`, body);
  return { status, body: JSON.parse(text) as Answer["body"] };
}

/** What a container prints; its creation's warnings go to `warnings`. */
async function output(
  script: string,
  asked: Asked,
  version = "",
  warnings: string[] = [],
): Promise<string> {
  const { status, body } = await create({ Cmd: ["sh", "-c", script], ...asked }, version);
  expect(body.message ?? "").toBe("");
  expect(status).toBe(201);
  warnings.push(...body.Warnings);
  const started = await daemon.berth("start", "-a", body.Id);
  expect((await daemon.berth("rm", "-f", "-v", body.Id)).status).toBe(0);
  return `${started.out}${started.err}`.trim();
}

/** A row: what is asked for, a script, and what it prints. */
type Effect = readonly [title: string, asked: Asked, script: string, printed: string | RegExp];

const cgroup = (controller: string, file: string) =>
  `cat /sys/fs/cgroup/${controller}/${file} 2>/dev/null || cat /sys/fs/cgroup/${file}`;

const effects: readonly Effect[] = [
  // The container's configuration.
  ["Hostname", { Hostname: "my_host.x" }, "hostname; cat /etc/hostname", "my_host.x\nmy_host.x"],
  [
    "Domainname",
    { Hostname: "h", Domainname: "example.org" },
    "cat /proc/sys/kernel/domainname; grep -c 'h.example.org h' /etc/hosts",
    "example.org\n1",
  ],
  ["User", { User: "1000:33" }, "id -u; id -g", "1000\n33"],
  ["Env", { Env: ["A=b=c", "EMPTY=", "PATH"] }, "env | grep -E '^(A|EMPTY)='", "A=b=c\nEMPTY="],
  ["WorkingDir", { WorkingDir: "/a/../deep//dir/" }, "pwd", "/deep/dir"],
  ["Entrypoint", { Entrypoint: ["echo", "e"], Cmd: ["c"] }, "", "e c"],
  ["Volumes", { Volumes: { "/data": {} } }, "grep -c ' /data ' /proc/mounts", "1"],
  [
    "MacAddress",
    { MacAddress: "02:42:ac:11:00:99" },
    "cat /sys/class/net/eth0/address",
    "02:42:ac:11:00:99",
  ],
  [
    "MacAddress of the endpoint",
    { NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: "02:42:ac:11:00:98" } } } },
    "cat /sys/class/net/eth0/address",
    "02:42:ac:11:00:98",
  ],
  ["NetworkDisabled", { NetworkDisabled: true }, "ls /sys/class/net", "lo"],
  // Limits.
  [
    "Memory",
    { HostConfig: { Memory: 32 << 20 } },
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
    String(32 << 20),
  ],
  [
    "MemoryReservation",
    { HostConfig: { MemoryReservation: 16 << 20 } },
    "cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.low",
    String(16 << 20),
  ],
  ["PidsLimit", { HostConfig: { PidsLimit: 7 } }, cgroup("pids", "pids.max"), "7"],
  [
    "CpuQuota and CpuPeriod",
    { HostConfig: { CpuPeriod: 50000, CpuQuota: 25000 } },
    "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || tr ' ' '\\n' < /sys/fs/cgroup/cpu.max",
    "25000\n50000",
  ],
  ["CpusetCpus", { HostConfig: { CpusetCpus: "0" } }, cgroup("cpuset", "cpuset.cpus"), "0"],
  ["CpusetMems", { HostConfig: { CpusetMems: "0" } }, cgroup("cpuset", "cpuset.mems"), "0"],
  ["OomScoreAdj", { HostConfig: { OomScoreAdj: 321 } }, "cat /proc/self/oom_score_adj", "321"],
  [
    "Ulimits",
    { HostConfig: { Ulimits: [{ Name: "nofile", Soft: 50, Hard: 60 }] } },
    "ulimit -Sn; ulimit -Hn",
    "50\n60",
  ],
  ["ShmSize", { HostConfig: { ShmSize: 1 << 20 } }, "df -k /dev/shm | awk 'END{print $2}'", "1024"],
  // Namespaces.
  ["IpcMode none", { HostConfig: { IpcMode: "none" } }, "ls -d /dev/shm 2>&1", /No such file/],
  [
    "IpcMode host",
    { HostConfig: { IpcMode: "host" } },
    "readlink /proc/self/ns/ipc",
    Bun.spawnSync(["readlink", "/proc/self/ns/ipc"]).stdout.toString().trim(),
  ],
  [
    "UTSMode host",
    { HostConfig: { UTSMode: "host" } },
    "hostname",
    Bun.spawnSync(["hostname"]).stdout.toString().trim(),
  ],
  [
    "UsernsMode host",
    { HostConfig: { UsernsMode: "host" } },
    "awk '{print $3}' /proc/self/uid_map",
    "4294967295",
  ],
  [
    "CgroupnsMode host shows the container's own group alone",
    { HostConfig: { CgroupnsMode: "host", PidsLimit: 9 } },
    `readlink /proc/self/ns/cgroup; ${cgroup("pids", "pids.max")}`,
    `${Bun.spawnSync(["readlink", "/proc/self/ns/cgroup"]).stdout.toString().trim()}\n9`,
  ],
  // Security.
  [
    "CapAdd ALL with CapDrop",
    { HostConfig: { CapAdd: ["ALL"], CapDrop: ["NET_RAW"] } },
    "grep CapBnd /proc/self/status | cut -c 8-; echo",
    /^\s*[0-9a-f]*[0-9a-f]{3}[0-9a-f]$/,
  ],
  [
    "GroupAdd by name and number",
    { User: "1000", HostConfig: { GroupAdd: ["root", "4711"] } },
    "id -G",
    "0 4711",
  ],
  ["ReadonlyRootfs", { HostConfig: { ReadonlyRootfs: true } }, "touch /x 2>&1", /Read-only/],
  [
    "MaskedPaths and ReadonlyPaths empty: nothing is hidden",
    { HostConfig: { MaskedPaths: [], ReadonlyPaths: [] } },
    "grep -cE ' /proc/(kcore|sys) ' /proc/mounts; true",
    "0",
  ],
  [
    "MaskedPaths and ReadonlyPaths named: these alone",
    { HostConfig: { MaskedPaths: ["/etc/passwd"], ReadonlyPaths: ["/tmp"] } },
    "wc -c < /etc/passwd; touch /tmp/x 2>&1; grep -c ' /proc/kcore ' /proc/mounts; true",
    /^0\n.*Read-only.*\n0$/,
  ],
  [
    "SecurityOpt systempaths=unconfined",
    { HostConfig: { SecurityOpt: ["systempaths=unconfined"] } },
    "grep -cE ' /proc/(kcore|sys) ' /proc/mounts; true",
    "0",
  ],
  [
    "SecurityOpt no-new-privileges",
    { HostConfig: { SecurityOpt: ["no-new-privileges:true"] } },
    "grep NoNewPrivs /proc/self/status | cut -f 2",
    "1",
  ],
  [
    "SecurityOpt no-new-privileges=false",
    { HostConfig: { SecurityOpt: ["no-new-privileges=false", "label=disable"] } },
    "grep NoNewPrivs /proc/self/status | cut -f 2",
    "0",
  ],
  [
    "SecurityOpt writable-cgroups",
    { HostConfig: { SecurityOpt: ["writable-cgroups=true"] } },
    "mkdir /sys/fs/cgroup/pids/own 2>/dev/null || mkdir /sys/fs/cgroup/own; echo made $?",
    "made 0",
  ],
  [
    "Sysctls",
    {
      HostConfig: {
        Sysctls: {
          "net/ipv4/conf/lo/forwarding": "1",
          "kernel.msgmax": "9000",
          "kernel.domainname": "dn",
        },
      },
    },
    "cat /proc/sys/net/ipv4/conf/lo/forwarding /proc/sys/kernel/msgmax /proc/sys/kernel/domainname",
    "1\n9000\ndn",
  ],
  [
    "Devices",
    { HostConfig: { Devices: [{ PathOnHost: "/dev/kmsg", PathInContainer: "/dev/log/k" }] } },
    "ls -l /dev/log/k | cut -c 1",
    "c",
  ],
  [
    "Devices of a whole directory",
    { HostConfig: { Devices: [{ PathOnHost: "/dev/net", PathInContainer: "/dev/nets" }] } },
    "ls -l /dev/nets/tun | cut -c 1",
    "c",
  ],
  [
    "DeviceCgroupRules",
    { HostConfig: { DeviceCgroupRules: ["c 1:11 r"], CapAdd: ["SYSLOG"] } },
    "mknod /k c 1 11; (exec 3< /k) && echo opened; (exec 3> /k) 2>/dev/null || echo refused",
    "opened\nrefused",
  ],
  ["Privileged", { HostConfig: { Privileged: true } }, "test -e /dev/kmsg && echo all", "all"],
  ["Init", { HostConfig: { Init: true } }, "echo $$", "2"],
  // Names.
  [
    "ExtraHosts",
    { HostConfig: { ExtraHosts: ["a:1.2.3.4", "six:[::1]", "gate:host-gateway"] } },
    "grep -E '\\s(a|six)$' /etc/hosts; grep gate /etc/hosts | cut -f 1; ip route | awk '/default/{print $3}'",
    /^1\.2\.3\.4\ta\n::1\tsix\n(\S+)\n\1$/,
  ],
  [
    "Dns, DnsSearch and DnsOptions",
    { HostConfig: { Dns: ["1.1.1.1"], DnsSearch: ["x.org"], DnsOptions: ["ndots:3"] } },
    "cat /etc/resolv.conf",
    "nameserver 1.1.1.1\nsearch x.org\noptions ndots:3",
  ],
  [
    "Tmpfs",
    { HostConfig: { Tmpfs: { "/t": "size=1m,exec,uid=5" } } },
    "grep ' /t ' /proc/mounts; stat -c %u /t",
    /size=1024k,uid=\d+[\s\S]*\n5$/,
  ],
  [
    "TmpfsOptions",
    {
      HostConfig: {
        Mounts: [
          {
            Type: "tmpfs",
            Target: "/t",
            TmpfsOptions: { SizeBytes: 2 << 20, Mode: 0o700, Options: [["exec"]] },
          },
        ],
      },
    },
    "stat -c %a /t; df -k /t | awk 'END{print $2}'; grep ' /t ' /proc/mounts | grep -c noexec; true",
    "700\n2048\n0",
  ],
];

for (const [title, asked, script, printed] of effects)
  test(title, async () => {
    const seen = await output(script, asked);
    if (typeof printed === "string") expect(seen).toBe(printed);
    else expect(seen).toMatch(printed);
  });

const mount = (options: object) => ({ HostConfig: { Mounts: [options as never] } });

/** A row: what is asked for, and the words of the refusal. */
const refused: readonly (readonly [Asked, string])[] = [
  [mount({ Type: "odd", Target: "/x" }), 'invalid mount config for type "odd": mount type unknown'],
  [
    mount({ Type: "bind", Source: "/" }),
    'invalid mount config for type "bind": field Target must not be empty',
  ],
  [
    mount({ Type: "bind", Source: "/", Target: "/" }),
    "invalid specification: destination can't be '/'",
  ],
  [
    mount({ Type: "bind", Source: "/", Target: "x" }),
    "invalid mount path: 'x' mount path must be absolute",
  ],
  [
    mount({ Type: "bind", Target: "/x" }),
    'invalid mount config for type "bind": field Source must not be empty',
  ],
  [
    mount({ Type: "bind", Source: "/no/such/thing", Target: "/x" }),
    'invalid mount config for type "bind": bind source path does not exist: /no/such/thing',
  ],
  [
    mount({ Type: "bind", Source: "/", Target: "/x", BindOptions: { Propagation: "odd" } }),
    'invalid mount config for type "bind": invalid propagation mode: odd',
  ],
  [
    mount({ Type: "bind", Source: "/", Target: "/x", VolumeOptions: {} }),
    'VolumeOptions must not be specified on mount type "bind"',
  ],
  [
    mount({
      Type: "bind",
      Source: "/",
      Target: "/x",
      ReadOnly: true,
      BindOptions: { ReadOnlyNonRecursive: true, ReadOnlyForceRecursive: true },
    }),
    "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive",
  ],
  [
    mount({ Type: "volume", Target: "/x", VolumeOptions: { Subpath: "a" } }),
    "must not set Subpath when using anonymous volumes",
  ],
  [
    mount({ Type: "volume", Source: "vv", Target: "/x", VolumeOptions: { Subpath: "a/../../b" } }),
    "subpath must be a relative path within the volume",
  ],
  [
    mount({ Type: "volume", Target: "/x", ReadOnly: true }),
    "must not set ReadOnly mode when using anonymous volumes",
  ],
  [
    mount({ Type: "tmpfs", Source: "x", Target: "/x" }),
    'invalid mount config for type "tmpfs": field Source must not be specified',
  ],
  [
    mount({ Type: "tmpfs", Target: "/x", TmpfsOptions: { Options: [["suid"]] } }),
    'invalid mount config for type "tmpfs": invalid option: suid',
  ],
  [{ HostConfig: { Binds: ["/a:/b:ro,rw"] } }, "invalid mode: ro,rw"],
  [{ HostConfig: { Binds: ["/a:ro"] } }, "invalid volume specification: '/a:ro'"],
  [{ HostConfig: { Binds: ["/a:/x"], Tmpfs: { "/x": "" } } }, "Duplicate mount point: /x"],
  [{ HostConfig: { VolumesFrom: [""] } }, "volumes-from specification cannot be an empty string"],
  [{ HostConfig: { VolumesFrom: ["x:shared"] } }, "invalid mode: shared"],
  [{ HostConfig: { IpcMode: "odd" } }, "invalid IPC mode: odd"],
  [{ HostConfig: { PidMode: "container:" } }, "invalid PID mode: container:"],
  [{ HostConfig: { UTSMode: "private" } }, "invalid UTS mode: private"],
  [{ HostConfig: { UsernsMode: "odd" } }, "invalid userns mode: odd"],
  [{ HostConfig: { CgroupnsMode: "odd" as never } }, "invalid cgroup namespace mode: odd"],
  [{ HostConfig: { NetworkMode: "container:" } }, "invalid container format container:<name|id>"],
  [
    { Hostname: "h", HostConfig: { UTSMode: "host" } },
    "conflicting options: hostname and the UTS mode",
  ],
  [
    { Domainname: "h", HostConfig: { UTSMode: "host" } },
    "conflicting options: domainname and the UTS mode",
  ],
  [
    { Hostname: "h", HostConfig: { NetworkMode: "container:x" } },
    "conflicting options: hostname and the network mode",
  ],
  [
    { HostConfig: { NetworkMode: "container:x", Dns: ["1.1.1.1"] } },
    "conflicting options: dns and the network mode",
  ],
  [
    { HostConfig: { NetworkMode: "container:x", PublishAllPorts: true } },
    "conflicting options: port publishing and the container type network mode",
  ],
  [
    { ExposedPorts: { "80/tcp": {} }, HostConfig: { NetworkMode: "container:x" } },
    "conflicting options: port exposing and the container type network mode",
  ],
  [
    { MacAddress: "02:42:ac:11:00:99", HostConfig: { NetworkMode: "host" } },
    "conflicting options: mac-address and the network mode",
  ],
  [{ HostConfig: { ExtraHosts: ["nohost"] } }, 'bad format for add-host: "nohost"'],
  [
    { HostConfig: { ExtraHosts: ["a\n127.0.0.2 b:1.2.3.4"] } },
    'bad format for add-host: "a\n127.0.0.2 b:1.2.3.4"',
  ],
  [{ Domainname: "a b" }, "invalid domainname format: a b"],
  [{ HostConfig: { ExtraHosts: ["a:b"] } }, 'invalid IP address in add-host: "b"'],
  [{ HostConfig: { Dns: ["x"] } }, "x is not an ip address"],
  [{ HostConfig: { SecurityOpt: ["odd"] } }, 'invalid --security-opt 1: "odd"'],
  [{ HostConfig: { SecurityOpt: ["odd=1"] } }, 'invalid --security-opt 2: "odd=1"'],
  [
    { HostConfig: { SecurityOpt: ["no-new-privileges=maybe"] } },
    'invalid --security-opt 2: "no-new-privileges=maybe"',
  ],
  [
    { HostConfig: { Sysctls: { "kernel.shmmax": "1" }, IpcMode: "host" } },
    'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace',
  ],
  [
    { HostConfig: { Sysctls: { "net.ipv4.ip_forward": "1" }, NetworkMode: "host" } },
    'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
  ],
  [
    { HostConfig: { Sysctls: { "kernel.hostname": "x" } } },
    'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field',
  ],
  [
    { HostConfig: { Sysctls: { "vm.swappiness": "1" } } },
    'sysctl "vm.swappiness" is not in a separate kernel namespace',
  ],
  [
    { HostConfig: { Sysctls: { "net/../kernel/panic": "1" } } },
    "is not in a separate kernel namespace",
  ],
  [
    { HostConfig: { Isolation: "hyperv" } },
    "invalid isolation (hyperv): linux only supports 'default'",
  ],
  [
    { HostConfig: { Annotations: { "": "x" } } },
    "invalid Annotations: the empty string is not permitted as an annotation key",
  ],
  [
    { HostConfig: { DeviceCgroupRules: ["nonsense"] } },
    "invalid device cgroup rule format: 'nonsense'",
  ],
  [
    { HostConfig: { DeviceRequests: [{ Count: -1, Capabilities: [["gpu"]] }] } },
    'could not select device driver "" with capabilities: [[gpu]]',
  ],
  [
    { HostConfig: { Devices: [{ PathOnHost: "/no/such/thing" }] } },
    'error gathering device information while adding custom device "/no/such/thing": no such file or directory',
  ],
  [{ HostConfig: { Ulimits: [{ Name: "odd", Soft: 1, Hard: 1 }] } }, "invalid ulimit type: odd"],
  [{ HostConfig: { CpusetMems: "77" } }, "Requested memory nodes are not available - requested 77"],
  [{ HostConfig: { CpusetCpus: "x" } }, "Invalid value x for cpuset cpus"],
  [
    { HostConfig: { IOMaximumIOps: 5 } },
    "Invalid QoS settings: Linux does not support Maximum IO Bandwidth or Maximum IO IOps",
  ],
  [
    { HostConfig: { VolumeDriver: "nfs", Binds: ["v:/x"] } },
    'error looking up volume plugin nfs: plugin "nfs" not found',
  ],
  [
    {
      NetworkingConfig: { EndpointsConfig: { bridge: { IPAMConfig: { IPv4Address: "1.2.3.4" } } } },
    },
    "user specified IP address is supported on user defined networks only",
  ],
  [
    { NetworkingConfig: { EndpointsConfig: { bridge: { Aliases: ["x"] } } } },
    "network-scoped aliases are only supported for user-defined networks",
  ],
  [
    {
      MacAddress: "02:42:ac:11:00:99",
      NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: "02:42:ac:11:00:98" } } },
    },
    "the container-wide MAC address must match the endpoint-specific MAC address",
  ],
];

for (const [asked, words] of refused)
  test(`refused: ${words}`, async () => {
    const { status, body } = await create({ Cmd: ["true"], ...asked });
    expect(body.message).toContain(words);
    expect(status).toBe(words.includes("volume plugin") ? 404 : 400);
  });

test("a size of the container's layer, which nothing would hold it to, is refused", async () => {
  const limited = await create({ Cmd: ["true"], HostConfig: { StorageOpt: { size: "10G" } } });
  expect(limited.body.message).toContain(
    "--storage-opt size is not supported by the storage driver overlay2",
  );
  expect(limited.status).toBe(501);
  const odd = await create({ Cmd: ["true"], HostConfig: { StorageOpt: { odd: "1" } } });
  expect([odd.status, odd.body.message]).toEqual([400, "Unknown option odd"]);
});

test("what this host cannot limit is discarded with a warning", async () => {
  const warnings: string[] = [];
  const limits = { BlkioWeight: 500, OomKillDisable: true, KernelMemoryTCP: 1 << 20 };
  expect(await output("echo ran", { HostConfig: limits }, "", warnings)).toBe("ran");
  expect(warnings.join("\n")).toMatch(/OomKillDisable|OOM killer is disabled/);
});

test("the paths that are masked by default, annotations and options are shown", async () => {
  const HostConfig = {
    Annotations: { a: "b" },
    ContainerIDFile: "/tmp/cid",
    ConsoleSize: [20, 30],
    StorageOpt: {},
  };
  const { body } = await create({ Cmd: ["true"], OnBuild: ["RUN x"], Shell: ["sh"], HostConfig });
  const { text } = await daemon.api("GET", `/containers/${body.Id}/json`);
  const shown = JSON.parse(text) as { HostConfig: HostConfig; Config: ContainerConfig };
  expect(shown.HostConfig).toMatchObject(HostConfig);
  expect(shown.HostConfig.MaskedPaths).toContain("/proc/kcore");
  expect(shown.HostConfig.ReadonlyPaths).toContain("/proc/sys");
  expect(shown.Config).toMatchObject({ OnBuild: ["RUN x"], Shell: ["sh"] });
  await daemon.berth("rm", body.Id);
});

test("only shareable IPC namespaces are joined, with their shared memory", async () => {
  for (const [mode, works] of [
    ["shareable", true],
    ["private", false],
    ["none", false],
  ] as const) {
    const donor = ["run", "-d", "--name", "donor", "--ipc", mode, "busybox", "sleep", "1000"];
    expect((await daemon.berth(...donor)).err).toBe("");
    if (works) await daemon.berth("exec", "donor", "touch", "/dev/shm/mark");
    const joined = ["run", "--rm", "--ipc", "container:donor", "busybox", "ls", "/dev/shm"];
    const { out, err, status } = await daemon.berth(...joined);
    if (works) expect(out.trim()).toBe("mark");
    else expect(err).toContain("non-shareable IPC (hint: use IpcMode:shareable for the donor");
    expect(status).toBe(works ? 0 : 125);
    await daemon.berth("rm", "-f", "donor");
  }
});
