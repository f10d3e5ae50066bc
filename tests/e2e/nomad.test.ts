/**
 * What Nomad's docker driver asks of an engine, in its order and with the fields that it sends and reads: the fingerprint of
 * a node, a group's network, a task's whole life, statistics and logs, and what it does after it has lost its memory.
 */
import { beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { PassThrough } from "node:stream";
import Docker from "dockerode";
import { textOf, until } from "../clients/scenarios.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { GoClient, RFC3339_NANO } from "../kits/go-client.ts";
import { giveToDaemon } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const client = new GoClient(daemon);
const ALLOC = "5f1c7a52-2d0b-4a53-9d0e-0123456789ab";
const ALLOC_LABEL = "com.hashicorp.nomad.alloc_id";
const directories = ["alloc", "local", "secrets"].map(
  (name) => [`${daemon.directory}/${name}`, `/${name}`] as const,
);

/** A task's container as the driver configures it; `ports` are published on addresses that the scheduler has chosen. */
function task(
  name: string,
  command: readonly string[],
  hostConfig: object = {},
  ports: Readonly<Record<string, object>> = {},
) {
  return client.create(
    `${name}-${ALLOC}`,
    {
      Image: "task:1",
      Cmd: command,
      Env: ["NOMAD_ALLOC_ID=x", "NOMAD_TASK_DIR=/local"],
      Labels: { [ALLOC_LABEL]: ALLOC },
      ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [port, {}])),
    },
    {
      Memory: 64 << 20,
      MemorySwap: 64 << 20,
      MemorySwappiness: 0,
      CpuShares: 100,
      PidsLimit: 0,
      NetworkMode: "default",
      PortBindings: ports,
      Binds: directories.map(([source, target]) => `${source}:${target}`),
      LogConfig: { Type: "json-file", Config: { "max-file": "2", "max-size": "2m" } },
      Ulimits: [{ Name: "nofile", Soft: 256, Hard: 512 }],
      ...hostConfig,
    },
  );
}

async function start(id: string): Promise<void> {
  await client.call("POST", `/containers/${id}/start`, 204);
}

async function ended(id: string): Promise<number> {
  const { StatusCode } = await client.call<{ StatusCode: number }>(
    "POST",
    `/containers/${id}/wait?condition=not-running`,
    200,
  );
  return StatusCode;
}

const purge = (id: string) => client.call("DELETE", `/containers/${id}?force=1&v=1`, 204);

beforeAll(async () => {
  for (const [source] of directories) {
    mkdirSync(source);
    giveToDaemon(source);
  }
  await daemon.berth("create", "--name", "base", "busybox");
  expect((await daemon.berth("commit", "base", "task:1")).status).toBe(0);
  const pause = ["-c", 'CMD ["sleep", "100000"]'];
  expect((await daemon.berth("commit", ...pause, "base", "pause:1")).status).toBe(0);
  await daemon.berth("rm", "base");
});

test("the fingerprint: version, runtimes, the bridge's gateway", async () => {
  await client.negotiate("1.51");
  const version = await client.call<{ Version: string }>("GET", "/version", 200);
  expect(version.Version).toMatch(/^\d+\.\d+\.\d+/);
  const info = await client.call<{
    Runtimes: Record<string, { path?: string }>;
    OSType: string;
    CgroupVersion: string;
    SecurityOptions: string[];
  }>("GET", "/info", 200);
  expect(Object.keys(info.Runtimes).length).toBeGreaterThan(0);
  expect(info.OSType).toBe("linux");
  expect(["1", "2"]).toContain(info.CgroupVersion);
  type Network = { Name: string; IPAM: { Config: { Gateway: string; Subnet: string }[] } };
  const networks = await client.call<Network[]>("GET", "/networks", 200);
  const bridge = networks.find(({ Name }) => Name === "bridge");
  const gateway = bridge?.IPAM.Config[0]?.Gateway ?? "";
  expect(gateway).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  const one = await client.call<Network>("GET", "/networks/bridge", 200);
  expect(one.IPAM.Config[0]?.Gateway).toBe(gateway);
  const shown = await daemon.berth("run", "--rm", "busybox", "ip", "route");
  expect(shown.out).toContain(`default via ${gateway} `);
});

test("images: one that is here is found by name and by id; progress while pulling", async () => {
  type Image = { Id: string; Size: number; Config: { User?: string } };
  const image = await client.call<Image>("GET", "/images/task:1/json", 200);
  expect((await client.call<Image>("GET", `/images/${image.Id}/json`, 200)).Id).toBe(image.Id);
  type Progress = { status?: string; id?: string; error?: string };
  const steps = await client.lines<Progress>("POST", "/images/create?fromImage=busybox&tag=latest");
  expect(steps[0]).toEqual({ status: "Pulling from library/busybox", id: "latest" });
  expect(steps.at(-2)?.status).toMatch(/^Digest: sha256:[0-9a-f]{64}$/);
  expect(steps.at(-1)?.status).toBe("Status: Image is up to date for busybox:latest");
  expect(steps.some(({ error }) => error !== undefined)).toBe(false);
  const digest = steps.at(-2)?.status?.slice("Digest: ".length);
  const busybox = await client.call<{ RepoDigests: string[] }>("GET", "/images/busybox/json", 200);
  expect(busybox.RepoDigests).toEqual([`busybox@${digest}`]);
});

test("a group's network is held by a pause container, which tasks join", async () => {
  const config = { Image: "pause:1", Hostname: "group", Labels: { [ALLOC_LABEL]: ALLOC } };
  const pause = await client.create(`nomad_init_${ALLOC}`, config, { NetworkMode: "none" });
  await start(pause);
  const { NetworkSettings, State } = await client.inspect(pause);
  expect(existsSync(NetworkSettings.SandboxKey ?? "")).toBe(true);
  expect(readlinkSync(NetworkSettings.SandboxKey ?? "")).toBe(
    readlinkSync(`/proc/${State.Pid}/ns/net`),
  );
  const id = await task("joined", ["sh", "-c", "hostname; ip -o link"], {
    NetworkMode: `container:${pause}`,
  });
  await start(id);
  expect(await ended(id)).toBe(0);
  const { out } = await daemon.berth("logs", id);
  expect(out).toMatch(/^group\n1: lo: [^\n]*\n$/);
  expect((await client.inspect(id)).NetworkSettings.Networks).toEqual({});
  await purge(id);
  await purge(pause);
});

test("a task: its configuration, ports on chosen addresses, files, and its end", async () => {
  const port = { HostIp: "127.0.0.1", HostPort: "" };
  const id = await task(
    "web",
    ["sh", "-c", "echo $NOMAD_TASK_DIR > /alloc/seen; httpd -f -h /alloc -p 8080"],
    {},
    { "8080/tcp": [port], "8080/udp": [port] },
  );
  const created = await client.inspect(id);
  expect(created.State).toMatchObject({ Running: false, Status: "created" });
  await start(id);
  const { State, NetworkSettings, HostConfig, Image, Name } = await client.inspect(id);
  expect(Name).toBe(`/web-${ALLOC}`);
  expect(State.StartedAt).toMatch(RFC3339_NANO);
  expect(State.Dead).toBe(false);
  expect(Image).toMatch(/^sha256:/);
  expect(NetworkSettings.Networks?.bridge?.IPAddress).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  expect(HostConfig).toMatchObject({ Memory: 64 << 20, MemorySwap: 64 << 20, AutoRemove: false });
  const [mapping] = NetworkSettings.Ports?.["8080/tcp"] ?? [];
  expect(mapping?.HostIp).toBe("127.0.0.1");
  expect(NetworkSettings.Ports?.["8080/udp"]?.[0]?.HostPort).toMatch(/^\d+$/);
  const url = `http://127.0.0.1:${mapping?.HostPort}/seen`;
  const answer = await until(() => fetch(url).catch(() => undefined));
  expect(await answer.text()).toBe("/local\n");
  expect(readFileSync(`${daemon.directory}/alloc/seen`, "utf8")).toBe("/local\n");
  // The driver sends the signal itself, and stops what does not end by it.
  const waiting = ended(id);
  await client.call("POST", `/containers/${id}/kill?signal=SIGTERM`, 204);
  await client.call("POST", `/containers/${id}/stop?t=0`, 204);
  expect(await waiting).toBe(137);
  const end = (await client.inspect(id)).State;
  expect(end).toMatchObject({ Running: false, OOMKilled: false, ExitCode: 137 });
  expect(end.FinishedAt).toMatch(RFC3339_NANO);
  await client.call("POST", `/containers/${id}/stop?t=0`, 304);
  await purge(id);
  const gone = await daemon.api("GET", `/v1.51/containers/${id}/json`);
  expect([gone.status, gone.text]).toEqual([
    404,
    expect.stringContaining(`No such container: ${id}`),
  ]);
});

test("a task that is killed for its memory is told apart, by its state and by an event", async () => {
  const since = Math.floor(Date.now() / 1000);
  const id = await task("greedy", ["tail", "/dev/zero"]);
  await start(id);
  expect(await ended(id)).toBe(137);
  expect((await client.inspect(id)).State.OOMKilled).toBe(true);
  const filters = JSON.stringify({ container: { [id]: true }, event: { oom: true } });
  const query = new URLSearchParams({ since: String(since), until: String(since + 60), filters });
  const [event] = await client.lines<{ Action: string }>("GET", `/events?${query}`, 1);
  expect(event?.Action).toBe("oom");
  await purge(id);
});

test("logs from the beginning, followed to the end; a second reader goes on from a time", async () => {
  const docker = new Docker({ socketPath: daemon.socket, version: "v1.51" });
  const id = await task("talker", [
    "sh",
    "-c",
    "echo one; echo two >&2; while [ ! -e /alloc/go ]; do sleep 0.05; done; echo three",
  ]);
  await start(id);
  const [out, err] = [new PassThrough(), new PassThrough()];
  const stream = await docker.getContainer(id).logs({
    follow: true,
    stdout: true,
    stderr: true,
    since: "0.000000000" as unknown as number,
  });
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => {
    out.end();
    err.end();
  });
  const both = Promise.all([textOf(out), textOf(err)]);
  await daemon.berth("exec", id, "touch", "/alloc/go");
  expect(await both).toEqual(["one\nthree\n", "two\n"]);
  const { State } = await client.inspect(id);
  expect(State.Running).toBe(false);
  const later = await daemon.api(
    "GET",
    `/v1.51/containers/${id}/logs?stdout=1&since=${Math.ceil(Date.now() / 1000) + 1}.000000000`,
  );
  expect(later).toEqual({ status: 200, text: "" });
  await purge(id);
});

test("statistics each second, with what the driver computes from them", async () => {
  const id = await task("busy", ["sh", "-c", "while :; do :; done"], { CpuQuota: 20_000 });
  await start(id);
  type Stats = {
    read: string;
    cpu_stats: Cpu;
    precpu_stats: Cpu;
    memory_stats: { usage: number; stats: Record<string, number>; max_usage?: number };
  };
  type Cpu = {
    cpu_usage: { total_usage: number; usage_in_kernelmode: number; usage_in_usermode: number };
    system_cpu_usage?: number;
    throttling_data: { throttled_periods: number; throttled_time: number };
  };
  const samples = await client.lines<Stats>("GET", `/containers/${id}/stats?stream=1`, 3);
  const [first, second, third] = samples.map(({ read }) => Date.parse(read));
  for (const apart of [(second ?? 0) - (first ?? 0), (third ?? 0) - (second ?? 0)])
    expect(apart).toBeGreaterThan(500);
  const { cpu_stats: now, precpu_stats: before, memory_stats } = samples[2] as Stats;
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const whole = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  expect(used).toBeGreaterThan(0);
  expect(whole).toBeGreaterThan(used);
  expect(now.cpu_usage.usage_in_usermode + now.cpu_usage.usage_in_kernelmode).toBeGreaterThan(0);
  expect(now.throttling_data.throttled_periods).toBeGreaterThan(0);
  const names = memory_stats.max_usage === undefined ? ["anon", "file"] : ["rss", "cache"];
  for (const name of names) expect(memory_stats.stats[name]).toBeNumber();
  expect(memory_stats.usage).toBeGreaterThan(0);
  await purge(id);
});

test("a script check: an exec with outputs and an exit code; an interactive one", async () => {
  const docker = new Docker({ socketPath: daemon.socket, version: "v1.51" });
  const id = await task("checked", ["sleep", "1000"]);
  await start(id);
  const exec = async (options: Docker.ExecCreateOptions) => {
    const made = await docker.getContainer(id).exec({ AttachStdout: true, ...options });
    return {
      made,
      stream: await made.start({ hijack: true, stdin: options.AttachStdin === true }),
    };
  };
  const check = await exec({ Cmd: ["sh", "-c", "ulimit -n; exit 2"], AttachStderr: true });
  expect((await textOf(check.stream)).slice(8)).toBe("256\n");
  expect(await check.made.inspect()).toMatchObject({ Running: false, ExitCode: 2 });
  const shell = await exec({ Cmd: ["cat"], AttachStdin: true, Tty: true });
  shell.stream.write("typed\n\u0004");
  expect(await textOf(shell.stream)).toBe("typed\r\ntyped\r\n");
  expect(await shell.made.inspect()).toMatchObject({ Running: false, ExitCode: 0 });
  await purge(id);
});

test("Nomad starts anew: it finds its containers by their labels and takes a task of the same name away", async () => {
  const id = await task("kept", ["sleep", "1000"]);
  await start(id);
  const [found] = await client.list({ label: [ALLOC_LABEL] }, false);
  expect(found).toMatchObject({
    Id: id,
    Names: [`/kept-${ALLOC}`],
    State: "running",
    Labels: { [ALLOC_LABEL]: ALLOC },
  });
  expect(found?.Created).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000));
  expect(found?.Mounts.map(({ Destination }) => Destination).sort()).toEqual([
    "/alloc",
    "/local",
    "/secrets",
  ]);
  const again = await daemon.api("POST", `/v1.51/containers/create?name=kept-${ALLOC}`, {
    Image: "task:1",
    Cmd: ["true"],
  });
  expect(again.status).toBe(409);
  expect(again.text).toContain("Conflict. The container name");
  // The engine is upgraded meanwhile: the driver's wait is asked again, and the task has never stopped.
  await daemon.kill();
  await daemon.start();
  const waiting = ended(id);
  await client.call("POST", `/containers/${id}/kill?signal=SIGKILL`, 204);
  expect(await waiting).toBe(137);
  await purge(id);
  expect(await client.list({ label: [ALLOC_LABEL] })).toEqual([]);
  const removed = await client.call<object[]>("DELETE", "/images/task:1?force=1", 200);
  expect(removed.length).toBeGreaterThan(0);
});
