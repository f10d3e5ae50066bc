/** The daemon's own directories damaged or gone: it says so, deletes nothing, and goes on once they are as they were. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

test("a damaged database is named, and nothing that it explained is deleted", async () => {
  const { out } = await daemon.berth("create", "--name", "known", "busybox", "true");
  const id = out.trim();
  await daemon.stop();
  for (const file of ["containers.db", "berth.db"]) {
    const path = `${daemon.directory}/data/${file}`;
    const whole = readFileSync(path);
    for (const broken of [Buffer.alloc(20_000, "A"), whole.subarray(0, whole.length / 2 + 100)]) {
      writeFileSync(path, broken);
      const refusal = await daemon.start().then(
        () => "it has started",
        (error) => String(error),
      );
      expect(refusal).toContain(`${path} is damaged`);
      for (const left of ["-wal", "-shm"]) rmSync(path + left, { force: true });
      writeFileSync(path, whole);
    }
  }
  await daemon.start();
  expect((await daemon.berth("ps", "-aq", "--no-trunc")).out).toBe(`${id}\n`);
  expect(existsSync(`${daemon.directory}/data/overlay2/containers/${id}`)).toBe(true);
  await daemon.berth("rm", "known");
});

test("a run directory that somebody has deleted is made again", async () => {
  await daemon.berth("run", "-d", "--name", "before", "busybox", "sleep", "1000");
  rmSync(`${daemon.directory}/exec`, { recursive: true, force: true });
  expect((await daemon.berth("stop", "-t", "0", "before")).status).toBe(0);
  expect((await daemon.berth("start", "before")).status).toBe(0);
  expect((await daemon.berth("exec", "before", "echo", "well")).out).toBe("well\n");
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "new")).out).toBe("new\n");
  await daemon.berth("rm", "-f", "before");
});
