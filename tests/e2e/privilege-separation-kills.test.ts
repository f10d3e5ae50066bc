/**
 * `kill -9` of the daemon, its helper and the guard, in every order: containers go on, and are taken up again as long as the
 * guard is there. Without it nobody can look after them: the next start ends them, and goes on with what is on the disk.
 */
import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { GuardedDaemon } from "../kits/guarded.ts";

const before = takeCensus();

afterAll(async () => {
  expect(await settledLeftover(before)).toEqual([]);
});

/** The oldest process with such a command line. */
function processOf(pattern: string): number {
  return Number(Bun.spawnSync(["pgrep", "-o", "-f", pattern]).stdout.toString());
}

const isThere = (pid: number) => existsSync(`/proc/${pid}/exe`);

async function untilGone(pid: number): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (isThere(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} does not end`);
    await Bun.sleep(20);
  }
}

const orders = [
  "guard",
  "helper",
  "daemon helper",
  "helper daemon",
  "daemon guard",
  "guard daemon",
  "daemon helper guard",
  "helper guard daemon",
];

test.each(orders)("killed in the order: %s", async (text) => {
  const order = text.split(" ") as ("guard" | "helper" | "daemon")[];
  const daemon = new GuardedDaemon({ ports: ["8080"] });
  await daemon.start();
  const serve = "echo hello >/index.html; exec httpd -f -h /";
  const flags = ["-d", "--name", "web", "-p", "127.0.0.1:8080:80"];
  const started = await daemon.docker("run", ...flags, "busybox", "sh", "-c", serve);
  expect([started.err, started.status]).toEqual(["", 0]);
  const container = Number(await daemon.inspect("web", "{{.State.Pid}}"));
  const pids = {
    guard: processOf(`^${daemon.directory}/data-guard/bin/berth-helper.* guard`),
    helper: processOf(`^${daemon.directory}/data/bin/berth-helper.* serve`),
    daemon: daemon.pid,
  };
  for (const one of order) if (isThere(pids[one])) process.kill(pids[one], "SIGKILL");
  // The daemon ends without either of them.
  await untilGone(pids.daemon);
  await untilGone(pids.helper);
  const get = () => fetch("http://127.0.0.1:8080/").then((response) => response.text());
  expect(isThere(container)).toBe(true);
  expect(await get()).toBe("hello\n");
  await daemon.start();
  const isKept = !order.includes("guard");
  expect(isThere(container)).toBe(isKept);
  expect(await daemon.inspect("web", "{{.State.Status}}")).toBe(isKept ? "running" : "exited");
  if (!isKept) expect((await daemon.docker("start", "web")).status).toBe(0);
  expect((await daemon.docker("exec", "web", "cat", "/index.html")).out).toBe("hello\n");
  await daemon.destroy();
});
