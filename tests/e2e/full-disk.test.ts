/** A data root without room: clear errors, other containers untouched, and all well once there is room again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";

const before = takeCensus();
const small = mkdtempSync("/tmp/berth-small-");
// The later of two flags holds.
const daemon = new TestDaemon(["--data-root", `${small}/data`]);

beforeAll(async () => {
  if (Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=12m", "t", small]).exitCode !== 0)
    throw new Error("mount");
  await daemon.start();
});
afterAll(async () => {
  await daemon.destroy();
  Bun.spawnSync(["umount", small]);
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
