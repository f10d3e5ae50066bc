/** A data root without room: clear errors, other containers untouched, and all well once there is room again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { unmountSettled } from "../kits/file-system.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const before = takeCensus();
const small = scratchDirectory("berth-small-");
// The later of two flags holds.
const daemon = new TestDaemon(["--data-root", `${small}/data`]);

beforeAll(async () => {
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=12m", "t", small]).exitCode !== 0)
    throw new Error("mount");
  await daemon.start();
});
afterAll(async () => {
  await daemon.destroy();
  await unmountSettled(small);
  rmdirSync(small);
  expect(await settledLeftover(before)).toEqual([]);
});

/** Takes every byte that is left. */
function fill(): void {
  for (const size of [1 << 20, 4096, 1]) {
    try {
      for (let i = 0; ; i++) writeFileSync(`${small}/fill-${size}-${i}`, new Uint8Array(size));
    } catch {
      // Full.
    }
  }
  const { bavail } = statfsSync(small);
  if (bavail > 0) throw new Error(`${bavail} blocks are left`);
}

function free(): void {
  for (const name of new Bun.Glob("fill-*").scanSync(small)) rmSync(`${small}/${name}`);
}

test("containers live and end on a full disk, new ones are refused with the reason, and nothing is lost", async () => {
  await daemon.berth("run", "-d", "--name", "lives", "busybox", "sleep", "1000");
  await daemon.berth("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 0.5; exit 5");
  const writes = await daemon.berth(
    ...["run", "--name", "writes", "busybox", "sh", "-c", "dd if=/dev/zero of=/f bs=64k; exit 4"],
  );
  expect(writes.status).toBe(4);
  fill();
  expect((await daemon.berth("wait", "ends")).out).toBe("5\n");
  expect((await daemon.berth("exec", "lives", "echo", "well")).out).toBe("well\n");
  const refused = await daemon.berth("run", "--rm", "busybox", "true");
  expect(refused.status).toBe(125);
  expect(refused.err).toMatch(/no space left|disk is full|disk I\/O|full/i);
  expect((await daemon.berth("ps", "-q", "--filter", "name=lives")).out).not.toBe("");
  free();
  expect((await daemon.berth("rm", "writes")).status).toBe(0);
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "again")).out).toBe("again\n");
  const deadline = Date.now() + 10_000;
  while (!daemon.log.includes("can be written again") && Date.now() < deadline) await Bun.sleep(50);
  // What could not be written then has been since: a new daemon knows it.
  await daemon.kill();
  await daemon.start();
  const { out } = await daemon.berth("ps", "-a", "--format", "{{.Names}} {{.Status}}");
  expect(out).toMatch(/^ends Exited \(5\)/m);
  expect(out).toMatch(/^lives Up/m);
  expect(out).not.toContain("writes");
});

test("a full disk takes no log records, in either mode; the container goes on, and it is told how many are lost", async () => {
  const script =
    "while [ ! -e /dev/shm/go ]; do usleep 10000; done; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo made >&2; while [ ! -e /dev/shm/end ]; do usleep 10000; done; echo last";
  const modes = [[], ["--log-opt", "mode=non-blocking"]];
  for (const [i, flags] of modes.entries())
    await daemon.berth("run", "-d", "--name", `log${i}`, ...flags, "busybox", "sh", "-c", script);
  const lostOf = async (name: string) => {
    const { text } = await daemon.api(
      "GET",
      `/containers/${name}/stats?stream=false&one-shot=true`,
    );
    return JSON.parse(text).Berth.Log as { Dropped: number; Failed: number };
  };
  const until = async (holds: () => Promise<boolean>) => {
    for (const end = Date.now() + 15_000; !(await holds()); await Bun.sleep(20))
      if (Date.now() > end) throw new Error("it does not come");
  };
  fill();
  for (const i of modes.keys()) await daemon.berth("exec", `log${i}`, "touch", "/dev/shm/go");
  for (const i of modes.keys()) await until(async () => (await lostOf(`log${i}`)).Failed > 0);
  free();
  for (const i of modes.keys()) {
    const name = `log${i}`;
    await daemon.berth("exec", name, "touch", "/dev/shm/end");
    expect((await daemon.berth("wait", name)).out).toBe("0\n");
    const { out, err } = await daemon.berth("logs", name);
    const lines = out.trimEnd().split("\n");
    expect(lines.at(-1)).toBe("last");
    const notes = [...err.matchAll(/^berth: (\d+) log records lost: the disk was full$/gm)];
    const told = notes.reduce((sum, match) => sum + Number(match[1]), 0);
    const made = (err.match(/^made$/gm) ?? []).length;
    expect(lines.length - 1 + made + told).toBe(2001);
    expect(await lostOf(name)).toMatchObject({ Dropped: 0, Failed: told });
    const wanted = ["--filter", "event=log-lost", "--filter", `container=${name}`];
    const events = () =>
      daemon.berth(
        ...["events", "--since", "1", "--until", "0s", ...wanted],
        ...["--format", "{{.Actor.Attributes.reason}}"],
      );
    await until(async () => /^(disk-full\n)+$/.test((await events()).out));
    await daemon.berth("rm", name);
  }
});

/** What may be said of a full disk; never that it is a bug. */
const REASON = /no space left|disk is full/i;

test("each call on a full disk succeeds or says why not, and what was answered holds after the daemon's death", async () => {
  for (const name of ["busy", "named", "gone", "still"])
    await daemon.berth("run", "-d", "--name", name, "busybox", "sleep", "1000");
  for (const name of ["gone", "still"]) await daemon.berth("kill", name);
  await daemon.berth(
    ...[
      "run",
      "-d",
      "--name",
      "talks",
      "busybox",
      "sh",
      "-c",
      "trap 'exit 6' TERM; while :; do echo a line of output; sleep 0.01; done",
    ],
  );
  const archive = new Uint8Array(Bun.spawnSync(["tar", "-C", "/bin", "-ch", "busybox"]).stdout);
  fill();
  const body = { Image: "busybox", Cmd: ["true"], HostConfig: { NetworkMode: "none" } };
  const said: Record<string, string> = {};
  const call = async (what: string, method: string, path: string, content?: unknown) => {
    const response = await fetch(`http://x${path}`, {
      method,
      unix: daemon.socket,
      ...(content === undefined
        ? {}
        : {
            body: content instanceof Uint8Array ? content : JSON.stringify(content),
            headers: { "Content-Type": "application/json" },
          }),
    });
    said[what] = `${response.status} ${await response.text()}`;
    return response.status;
  };
  for (let i = 0; i < 60; i++)
    await call(`create ${i}`, "POST", `/containers/create?name=new${i}`, body);
  await call("volume", "POST", "/volumes/create", { Name: "vol" });
  await call("create with a volume", "POST", "/containers/create", {
    ...body,
    HostConfig: { Binds: ["named-volume:/v"] },
  });
  await call("start", "POST", "/containers/still/start");
  await call("copy in", "PUT", "/containers/busy/archive?path=/tmp", archive);
  await call("copy in, stopped", "PUT", "/containers/still/archive?path=/tmp", archive);
  await call("copy out", "GET", "/containers/busy/archive?path=/etc/passwd");
  await call("commit", "POST", "/commit?container=busy&repo=full");
  await call("tag", "POST", "/images/busybox/tag?repo=again&tag=1");
  await call("import", "POST", "/images/create?fromSrc=-&repo=imported", archive);
  await call("update", "POST", "/containers/busy/update", { RestartPolicy: { Name: "always" } });
  const renamed = await call("rename", "POST", "/containers/named/rename?name=other");
  await call("logs", "GET", "/containers/talks/logs?stdout=1&tail=1");
  await call("pause", "POST", "/containers/busy/pause");
  await call("unpause", "POST", "/containers/busy/unpause");
  const talking = await daemon.inspect("talks", "{{.State.Pid}}");
  await call("restart", "POST", "/containers/talks/restart?t=5");
  // A container that could not be started again is not stopped for that.
  expect(said.restart).toMatch(/^500 .*(goes on as it is|cannot store)/);
  expect(await daemon.inspect("talks", "{{.State.Pid}}")).toBe(talking);
  const name = renamed === 204 ? "other" : "named";
  const stopped = await call("stop", "POST", `/containers/${name}/stop?t=0`);
  const removed = await call("remove", "DELETE", "/containers/gone");
  await call("prune", "POST", "/volumes/prune");
  const exec = await daemon.berth("exec", "busy", "echo", "well");
  expect(exec).toMatchObject({ status: 0, out: "well\n" });
  for (const [what, text] of Object.entries(said))
    if (Number(text.slice(0, 3)) >= 500) expect(`${what}: ${text}`).toMatch(REASON);
  expect(Object.values(said).join("\n")).not.toContain("please report");
  expect(said.unpause).toStartWith("204");
  // Whatever was answered holds for the next daemon, which starts on a disk that is full as well.
  await daemon.kill();
  await daemon.start();
  const names = (await daemon.berth("ps", "-a", "--format", "{{.Names}}")).out.split("\n");
  expect(names).toContain(name);
  if (removed === 204) expect(names).not.toContain("gone");
  expect(await daemon.inspect("busy", "{{.State.Running}} {{.State.Paused}}")).toBe("true false");
  if (stopped === 204) expect(await daemon.inspect(name, "{{.State.Status}}")).toBe("exited");
  for (const [what, text] of Object.entries(said))
    if (what.startsWith("create ") && text.startsWith("201"))
      expect(names).toContain(what.replace("create ", "new"));
  free();
  for (const name of ["still", "busy", "talks"])
    expect((await daemon.berth("restart", "-t", "0", name)).status).toBe(0);
  expect((await daemon.berth("exec", "still", "echo", "again")).out).toBe("again\n");
  expect((await daemon.berth("logs", "--tail", "1", "talks")).out).toBe("a line of output\n");
}, 120_000);
