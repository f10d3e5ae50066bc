/** Client libraries run real scenarios. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

test("docker-py", async () => {
  await daemon.berth("create", "--name", "warm", "busybox", "true");
  const script = join(import.meta.dir, "../clients/docker_py.py");
  const child = Bun.spawn(["/usr/bin/python3", script], {
    env: {
      PATH: process.env.PATH ?? "",
      HOME: "/nonexistent",
      DOCKER_HOST: `unix://${daemon.socket}`,
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ out, err, status: await child.exited }).toEqual({ out: "done\n", err: "", status: 0 });
}, 60_000);
