/**
 * What cri-dockerd asks of an engine, in its order and with the fields that it sends and reads: a node's start, a pod's
 * sandbox, containers in it, their logs, execs and statistics, and their end.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { PassThrough } from "node:stream";
import Docker from "dockerode";
import { textOf, until } from "../clients/scenarios.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { GoClient, RFC3339_NANO } from "../kits/go-client.ts";

const daemon = daemonOfFile();
const client = new GoClient(daemon);
const KUBE = `/kubepods-${process.pid}`;
const POD = `${KUBE}/burstable/pod0a1b`;
const UID = "0a1b2c3d-0000-4000-8000-00000000beef";
const SANDBOX_LABELS = {
  "io.kubernetes.pod.name": "web",
  "io.kubernetes.pod.namespace": "default",
  "io.kubernetes.pod.uid": UID,
  "annotation.kubernetes.io/config.seen": "2026-11-24T00:00:00Z",
  "io.kubernetes.docker.type": "podsandbox",
  "io.kubernetes.container.name": "POD",
};

/** Where version 1 has its hierarchies, or version 2 the only one. */
const hierarchies = existsSync("/sys/fs/cgroup/memory")
  ? readdirSync("/sys/fs/cgroup")
      .map((name) => `/sys/fs/cgroup/${name}`)
      .filter((path) => existsSync(`${path}/tasks`))
  : ["/sys/fs/cgroup"];
const memory = hierarchies.find((path) => path.endsWith("/memory")) ?? "/sys/fs/cgroup";
const limitFile = existsSync(`${memory}/memory.limit_in_bytes`)
  ? "memory.limit_in_bytes"
  : "memory.max";

let sandbox = "";

/** A container of the pod, as kubelet has it made. */
function container(name: string, command: readonly string[], hostConfig: object = {}) {
  return client.create(
    `k8s_${name}_web_default_${UID}_0`,
    {
      Entrypoint: command,
      Cmd: null,
      Env: ["KUBERNETES_PORT=tcp://10.96.0.1:443"],
      Image: "busybox",
      Labels: {
        "io.kubernetes.container.name": name,
        "io.kubernetes.docker.type": "container",
        "io.kubernetes.container.logpath": `/var/log/pods/default_web_${UID}/${name}/0.log`,
        "io.kubernetes.sandbox.id": sandbox,
      },
      Healthcheck: { Test: ["NONE"] },
    },
    {
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      NetworkMode: `container:${sandbox}`,
      IpcMode: `container:${sandbox}`,
      CgroupParent: POD,
      OomScoreAdj: 1000,
      CpuShares: 102,
      CpuPeriod: 100_000,
      ShmSize: 64 << 20,
      Devices: [],
      SecurityOpt: ["seccomp=unconfined"],
      ...hostConfig,
    },
  );
}

async function start(id: string): Promise<void> {
  await client.call("POST", `/containers/${id}/start`, 204);
}

const namespace = (pid: number | undefined, kind: string) =>
  readlinkSync(`/proc/${pid}/ns/${kind}`);

beforeAll(async () => {
  // kubelet makes the pod's cgroup and sets its limits before it asks for a sandbox.
  for (const path of hierarchies) mkdirSync(path + POD, { recursive: true });
  writeFileSync(`${memory}${POD}/${limitFile}`, String(256 << 20));
  await daemon.berth("create", "--name", "pause", "busybox");
  const change = 'CMD ["sleep", "100000"]';
  expect((await daemon.berth("commit", "-c", change, "pause", "pause:3.9")).status).toBe(0);
  await daemon.berth("rm", "pause");
});

afterAll(() => {
  // Nobody but kubelet removes them, and nothing of the engine's is left in them.
  for (const path of hierarchies)
    for (const group of [POD, `${KUBE}/burstable`, KUBE]) rmdirSync(path + group);
});

test("a node starts: version, information, images", async () => {
  expect(await client.negotiate("1.47")).toBe("1.47");
  const version = await client.call<Record<string, string>>("GET", "/version", 200);
  expect(version.ApiVersion).toMatch(/^1\.\d+$/);
  expect(version.Version).toMatch(/^\d+\.\d+\.\d+/);
  const info = await client.call<{
    CgroupDriver: string;
    DockerRootDir: string;
    Runtimes: Record<string, object>;
    DefaultRuntime: string;
    SecurityOptions: string[];
    LoggingDriver: string;
    OperatingSystem: string;
  }>("GET", "/info", 200);
  expect(info.CgroupDriver).toBe("cgroupfs");
  expect(existsSync(info.DockerRootDir)).toBe(true);
  expect(Object.keys(info.Runtimes)).toContain(info.DefaultRuntime);
  expect(info.SecurityOptions.some((option) => option.startsWith("name=seccomp"))).toBe(true);
  expect(info.SecurityOptions.some((option) => option.startsWith("name=userns"))).toBe(true);
  expect(info.LoggingDriver).toBe("json-file");
  expect(info.OperatingSystem).not.toBe("");
  type Image = { Id: string; RepoTags: string[]; RepoDigests: string[] | null; Size: number };
  const images = await client.call<Image[]>("GET", "/images/json", 200);
  const pause = images.find(({ RepoTags }) => RepoTags.includes("pause:3.9"));
  expect(pause?.Size).toBeGreaterThan(0);
  const byId = await client.call<Image & { Config: { User?: string }; Created: string }>(
    "GET",
    `/images/${pause?.Id}/json`,
    200,
  );
  expect(byId.Id).toBe(pause?.Id ?? "");
  expect(byId.Created).toMatch(RFC3339_NANO);
  expect(byId.Config.User ?? "").toBe("");
  const missing = await daemon.api("GET", "/v1.47/images/registry.k8s.io/none:1/json");
  expect(missing.status).toBe(404);
  expect(missing.text).toMatch(/[Nn]o such image/);
  type Step = { Id: string; Created: number; CreatedBy: string; Size: number };
  const steps = await client.call<Step[]>("GET", "/images/pause:3.9/history", 200);
  expect(steps.length).toBeGreaterThan(1);
});

test("a sandbox: created, started, its resolv.conf written anew", async () => {
  const wanted = {
    Hostname: "web",
    Image: "pause:3.9",
    Labels: SANDBOX_LABELS,
    ExposedPorts: {},
  };
  const host = {
    IpcMode: "shareable",
    NetworkMode: "none",
    PortBindings: {},
    OomScoreAdj: -998,
    CpuShares: 2,
    ShmSize: 64 << 20,
    CgroupParent: POD,
    SecurityOpt: ["seccomp=unconfined"],
    Sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
  };
  const name = `k8s_POD_web_default_${UID}_0`;
  sandbox = await client.create(name, wanted, host);
  // A kubelet that has lost its memory asks again, and learns from the refusal whom it conflicts with.
  const again = await daemon.api("POST", `/v1.47/containers/create?name=${name}`, wanted);
  const conflict = /Conflict. (?:.)+ is already in use by container "?([0-9a-z]+)"?/;
  expect(conflict.exec(JSON.parse(again.text).message)?.[1]).toBe(sandbox);
  await start(sandbox);
  const { State, Created, Name, HostConfig, ResolvConfPath = "" } = await client.inspect(sandbox);
  expect([Created, State.StartedAt].every((time) => RFC3339_NANO.test(time ?? ""))).toBe(true);
  expect(State.FinishedAt).toBe("0001-01-01T00:00:00Z");
  expect(Name).toBe(`/${name}`);
  expect(HostConfig).toMatchObject({ NetworkMode: "none", IpcMode: "shareable", PidMode: "" });
  expect(existsSync(`/proc/${State.Pid}/ns/net`)).toBe(true);
  writeFileSync(ResolvConfPath, "nameserver 10.96.0.10\nsearch default.svc.cluster.local\n", {
    flag: "r+",
  });
});

test("the container is in the pod's cgroup, by its id, and the pod's limits hold for it", async () => {
  const { State } = await client.inspect(sandbox);
  for (const path of hierarchies)
    expect(readFileSync(`${path}${POD}/${sandbox}/cgroup.procs`, "utf8")).toContain(
      `${State.Pid}\n`,
    );
  expect(readFileSync(`${memory}${POD}/${limitFile}`, "utf8")).toBe(`${256 << 20}\n`);
  const scheduler = `${memory}${POD}/${sandbox}/${limitFile}`;
  writeFileSync(scheduler, String(128 << 20));
  expect(readFileSync(scheduler, "utf8")).toBe(`${128 << 20}\n`);
});

test("a container joins the sandbox, and its log is a file that kubelet can read", async () => {
  const id = await container("main", [
    "sh",
    "-c",
    "cat /etc/resolv.conf; hostname; echo err >&2; exec sleep 1000",
  ]);
  await start(id);
  const inspected = await client.inspect(id);
  const { State, LogPath, Config } = inspected;
  const { Pid } = (await client.inspect(sandbox)).State;
  for (const kind of ["net", "ipc"]) expect(namespace(State.Pid, kind)).toBe(namespace(Pid, kind));
  expect(Config.Hostname).toBe("web");
  expect(namespace(State.Pid, "pid")).not.toBe(namespace(Pid, "pid"));
  expect(Config.Labels?.["io.kubernetes.sandbox.id"]).toBe(sandbox);
  const link = `${daemon.directory}/0.log`;
  symlinkSync(LogPath ?? "", link);
  const lines = await until(() => {
    const read = readFileSync(link, "utf8").trimEnd().split("\n");
    return read.length >= 4 ? read.map((line) => JSON.parse(line)) : undefined;
  });
  rmSync(link);
  const of = (stream: string) =>
    lines.filter((line) => line.stream === stream).map(({ log }) => log);
  expect(of("stdout")).toEqual([
    "nameserver 10.96.0.10\n",
    "search default.svc.cluster.local\n",
    "web\n",
  ]);
  expect(of("stderr")).toEqual(["err\n"]);
  expect(lines.every(({ time }) => RFC3339_NANO.test(time))).toBe(true);
});

test("lists: sandboxes and containers by their labels and states", async () => {
  const type = (value: string) => `io.kubernetes.docker.type=${value}`;
  const sandboxes = await client.list({ label: [type("podsandbox")] });
  expect(sandboxes.map(({ Id, Names }) => [Id, Names])).toEqual([
    [sandbox, [`/k8s_POD_web_default_${UID}_0`]],
  ]);
  expect(sandboxes[0]?.Labels).toMatchObject(SANDBOX_LABELS);
  const created = await container("later", ["true"]);
  const ended = await container("ended", ["sh", "-c", "exit 3"]);
  await start(ended);
  await client.call("POST", `/containers/${ended}/wait`, 200);
  const inSandbox = [type("container"), `io.kubernetes.sandbox.id=${sandbox}`];
  const found = await client.list({ label: inSandbox });
  const states = Object.fromEntries(
    found.map(({ Labels, Status }) => [
      Labels["io.kubernetes.container.name"],
      /^(Up|Exited|Created)/.exec(Status)?.[1],
    ]),
  );
  expect(states).toEqual({ main: "Up", later: "Created", ended: "Exited" });
  expect(found.every(({ ImageID }) => /^sha256:[0-9a-f]{64}$/.test(ImageID))).toBe(true);
  const now = Math.floor(Date.now() / 1000);
  expect(found.every(({ Created }) => Math.abs(Created - now) < 3600)).toBe(true);
  const byState = async (status: string) =>
    (await client.list({ label: inSandbox, status: [status] })).map(({ Id }) => Id);
  expect(await byState("created")).toEqual([created]);
  expect(await byState("exited")).toEqual([ended]);
  expect(await client.list({ id: [ended], label: [type("container")] })).toHaveLength(1);
  const { State } = await client.inspect(ended);
  expect(State).toMatchObject({ Running: false, ExitCode: 3, OOMKilled: false, Error: "" });
  expect(State.FinishedAt).toMatch(RFC3339_NANO);
  for (const id of [created, ended]) await client.call("DELETE", `/containers/${id}?v=1`, 204);
});

test("a program that is missing: the start is refused, the state says why", async () => {
  const id = await container("broken", ["/no/such/program"]);
  const refused = await daemon.api("POST", `/v1.47/containers/${id}/start`);
  expect(refused.status).toBe(400);
  const { State } = await client.inspect(id);
  expect(State).toMatchObject({ Running: false, ExitCode: 127 });
  expect(State.FinishedAt).toBe("0001-01-01T00:00:00Z");
  expect(State.Error).toContain("/no/such/program");
  await client.call("DELETE", `/containers/${id}?v=1`, 204);
});

test("a container that takes more memory than it may: OOMKilled", async () => {
  const id = await container("greedy", ["sh", "-c", "tail /dev/zero"], {
    Memory: 32 << 20,
    MemorySwap: 32 << 20,
  });
  await start(id);
  await client.call("POST", `/containers/${id}/wait`, 200);
  expect((await client.inspect(id)).State).toMatchObject({ OOMKilled: true, ExitCode: 137 });
  await client.call("DELETE", `/containers/${id}?v=1`, 204);
});

test("exec, plain and on a terminal that is resized; port-forwarding's and probes' way in", async () => {
  const [main] = await client.list({ label: ["io.kubernetes.container.name=main"] });
  const docker = new Docker({ socketPath: daemon.socket, version: "v1.47" });
  const box = docker.getContainer(main?.Id ?? "");
  const plain = await box.exec({
    Cmd: ["sh", "-c", "cat; echo err >&2; exit 7"],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await plain.start({ hijack: true, stdin: true });
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => {
    out.end();
    err.end();
  });
  stream.end("typed");
  expect(await Promise.all([textOf(out), textOf(err)])).toEqual(["typed", "err\n"]);
  expect(await plain.inspect()).toMatchObject({ Running: false, ExitCode: 7 });
  const shell = await box.exec({
    Cmd: ["sh"],
    AttachStdin: true,
    AttachStdout: true,
    Tty: true,
  });
  const terminal = await shell.start({ hijack: true, stdin: true, Tty: true });
  await shell.resize({ h: 44, w: 111 });
  terminal.write("stty size; exit\n");
  expect(await textOf(terminal)).toContain("44 111");
  expect(await shell.inspect()).toMatchObject({ Running: false, ExitCode: 0 });
});

test("statistics and sizes", async () => {
  const [main] = await client.list({ label: ["io.kubernetes.container.name=main"] });
  type Stats = {
    cpu_stats: { cpu_usage: { total_usage: number } };
    memory_stats: { usage: number };
  };
  const [stats] = await client.lines<Stats>("GET", `/containers/${main?.Id}/stats?stream=0`);
  expect(stats?.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0);
  expect(stats?.memory_stats.usage).toBeGreaterThan(0);
  const sized = await client.call<{ SizeRw: number; SizeRootFs: number }>(
    "GET",
    `/containers/${main?.Id}/json?size=1`,
    200,
  );
  expect(sized.SizeRw).toBeGreaterThanOrEqual(0);
  expect(sized.SizeRootFs).toBeGreaterThan(sized.SizeRw);
});

test("security contexts, mounts with propagation, and the sandbox's processes", async () => {
  const [volume, made] = [`${daemon.directory}/pod-volume`, `${daemon.directory}/made`];
  // What mounts are to come through must be shared, as a node's root is.
  const mounting = ["mount -t tmpfs tmpfs", "mount --make-shared"].map(
    (words) => `${words} ${volume}`,
  );
  mkdirSync(volume);
  expect(Bun.spawnSync(["sh", "-ec", mounting.join(";")]).stderr.toString()).toBe("");
  const mount = (Source: string, Target: string, more: object, BindOptions: object) => ({
    Type: "bind",
    Source,
    Target,
    BindOptions: { CreateMountpoint: true, ...BindOptions },
    ...more,
  });
  const id = await container(
    "secured",
    ["sh", "-c", "id -u; id -g; id -G; touch /no /read-only/no; echo w > /data/f; exec sleep 1000"],
    {
      PidMode: `container:${sandbox}`,
      GroupAdd: ["2000"],
      ReadonlyRootfs: true,
      CapAdd: ["NET_ADMIN"],
      CapDrop: ["ALL"],
      SecurityOpt: [
        "apparmor=unconfined",
        "no-new-privileges",
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW"}',
      ],
      MaskedPaths: ["/proc/kcore"],
      ReadonlyPaths: ["/proc/sys"],
      Mounts: [
        mount(volume, "/data", {}, { Propagation: "rslave" }),
        mount(made, "/read-only", { ReadOnly: true }, { ReadOnlyNonRecursive: true }),
      ],
    },
  );
  await start(id);
  const { State, Mounts, HostConfig } = await client.inspect(id);
  const { Pid } = (await client.inspect(sandbox)).State;
  expect(namespace(State.Pid, "pid")).toBe(namespace(Pid, "pid"));
  await until(() => existsSync(`${volume}/f`) || undefined);
  expect(Mounts?.map(({ Source, RW, Propagation }) => [Source, RW, Propagation])).toEqual([
    [volume, true, "rslave"],
    [made, false, "rprivate"],
  ]);
  expect(HostConfig.MaskedPaths).toEqual(["/proc/kcore"]);
  expect(readFileSync(`/proc/${State.Pid}/status`, "utf8")).toMatch(/CapBnd:\t0000000000001000/);
  const { out } = await daemon.berth("logs", id);
  expect(out).toBe("0\n0\n0 10 2000\n");
  // kubelet changes the resources of a pod in place.
  await client.call("POST", `/containers/${id}/update`, 200, {
    CpuShares: 512,
    CpuQuota: 20_000,
    CpuPeriod: 100_000,
    Memory: 0,
    MemorySwap: 0,
    CpusetCpus: "",
    CpusetMems: "",
    RestartPolicy: { Name: "", MaximumRetryCount: 0 },
  });
  expect((await client.inspect(id)).HostConfig).toMatchObject({ CpuShares: 512, CpuQuota: 20_000 });
  await client.call("POST", `/containers/${id}/stop?t=0`, 204);
  await client.call("DELETE", `/containers/${id}?v=1`, 204);
  expect(Bun.spawnSync(["umount", volume]).stderr.toString()).toBe("");
});

test("the engine dies and comes again: the pod goes on in its cgroup, and leaves it clean at its end", async () => {
  const [main] = await client.list({ label: ["io.kubernetes.container.name=main"] });
  const { State } = await client.inspect(main?.Id ?? "");
  await daemon.kill();
  await daemon.start();
  expect((await client.inspect(main?.Id ?? "")).State).toMatchObject({
    Running: true,
    Pid: State.Pid,
  });
  expect((await client.call("GET", `/containers/${main?.Id}/stats?stream=0`, 200)) !== null).toBe(
    true,
  );
  await daemon.kill();
  process.kill(State.Pid ?? 0, "SIGKILL");
  await daemon.start();
  expect((await client.inspect(main?.Id ?? "")).State).toMatchObject({
    Running: false,
    ExitCode: 137,
  });
  expect(readdirSync(`${memory}${POD}`)).not.toContain(main?.Id ?? "");
  await client.call("DELETE", `/containers/${main?.Id}?v=1`, 204);
  await client.call("POST", `/containers/${sandbox}/stop?t=0`, 204);
  await client.call("POST", `/containers/${sandbox}/stop?t=0`, 304);
  await client.call("DELETE", `/containers/${sandbox}?v=1`, 204);
  await client.call("DELETE", `/containers/${sandbox}?v=1`, 404);
  expect(
    readdirSync(`${memory}${POD}`, { withFileTypes: true }).filter((e) => e.isDirectory()),
  ).toEqual([]);
  expect(readFileSync(`${memory}${POD}/${limitFile}`, "utf8")).toBe(`${256 << 20}\n`);
});

test("a parent that nobody has made is made, and taken away when it is empty", async () => {
  const parent = `${KUBE}/besteffort/pod1`;
  const make = (name: string) =>
    client.create(name, { Image: "busybox", Cmd: ["sleep", "1000"] }, { CgroupParent: parent });
  const [one, two] = [await make("made-one"), await make("made-two")];
  await start(one);
  await start(two);
  expect(existsSync(`${memory}${parent}/${two}`)).toBe(true);
  await client.call("DELETE", `/containers/${one}?force=1`, 204);
  expect(existsSync(`${memory}${parent}/${two}`)).toBe(true);
  await daemon.kill();
  await daemon.start();
  await client.call("DELETE", `/containers/${two}?force=1`, 204);
  await until(() => !existsSync(`${memory}${KUBE}/besteffort`) || undefined);
  expect(existsSync(`${memory}${KUBE}`)).toBe(true);
});
