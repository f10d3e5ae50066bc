/** Two hundred kills in a row, of whatever there is to kill, at random moments; afterwards nothing is left over. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";

const before = takeCensus();
const daemon = new TestDaemon();
const KILLS = 200;

beforeAll(async () => {
  await daemon.start();
  await daemon.berth("run", "--rm", "busybox", "true");
});
afterAll(async () => {
  await daemon.destroy();
  expect(await settledLeftover(before)).toEqual([]);
});

/** Shims of this daemon, by their command lines. */
function shims(): number[] {
  return readdirSync("/proc")
    .filter((name) => {
      if (!/^\d+$/.test(name)) return false;
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").startsWith(
          `berth-shim\0${daemon.directory}/exec/c/`,
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

function kill(pid: number | undefined): void {
  if (pid === undefined || pid <= 1) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has gone by itself in between.
  }
}

const pick = <T>(list: readonly T[]): T | undefined =>
  list[Math.floor(Math.random() * list.length)];

async function initOf(name: string): Promise<number> {
  return Number((await daemon.berth("inspect", "-f", "{{.State.Pid}}", name)).out);
}

test("a shim, a PID 1, a client or the daemon, killed again and again", async () => {
  const victims = ["shim", "init", "client", "daemon"] as const;
  for (let round = 0; round < KILLS; round++) {
    const victim = victims[round % victims.length];
    const name = `soak-${round}`;
    const client = Bun.spawn(
      [
        "dist/berth",
        "run",
        "--rm",
        "--name",
        name,
        "-p",
        "127.0.0.1::80",
        "-v",
        "/data",
        "busybox",
        "sh",
        "-c",
        "sleep 100 & echo up; sleep 100",
      ],
      {
        env: { BERTH_HOST: `unix://${daemon.socket}` },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      },
    );
    await Bun.sleep(Math.random() * 60);
    if (victim === "shim") kill(pick(shims()));
    else if (victim === "init") kill(await initOf(name));
    else if (victim === "client") kill(client.pid);
    else {
      await daemon.kill();
      await daemon.start();
    }
    // The end of the round: by force, whatever has become of the container.
    await daemon.berth("rm", "-f", "-v", name);
    const settled = await Promise.race([client.exited, Bun.sleep(10_000).then(() => "hangs")]);
    if (settled === "hangs") {
      await daemon.berth("rm", "-f", "-v", name);
      client.kill("SIGKILL");
    }
  }
  for (let tries = 0; tries < 100 && (await daemon.berth("ps", "-aq")).out !== ""; tries++) {
    const ids = (await daemon.berth("ps", "-aq")).out.split("\n").filter(Boolean);
    await daemon.berth("rm", "-f", "-v", ...ids);
  }
  expect((await daemon.berth("ps", "-aq")).out).toBe("");
  expect(shims()).toEqual([]);
  for (const path of [
    "exec/c",
    "data/containers",
    "data/overlay2/containers",
    "data/overlay2/trash",
  ])
    expect([path, readdirSync(`${daemon.directory}/${path}`)]).toEqual([path, []]);
  expect((await daemon.berth("volume", "ls", "-q")).out).toBe("");
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "well")).out).toBe("well\n");
}, 600_000);
