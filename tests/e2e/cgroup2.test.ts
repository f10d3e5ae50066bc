/** A host with control groups of version 2 only: what a daemon finds that sees no others. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { UNIFIED_ALONE } from "../kits/rootless.ts";

/** A mount namespace in which /sys/fs/cgroup is version 2 and nothing else. */
const onlyUnified = `mount --make-rprivate /
  ${UNIFIED_ALONE}
  exec "$@"`;
const daemon = daemonOfFile([], ["unshare", "--mount", "sh", "-c", onlyUnified, "sh"]);

test("a container is in a cgroup of its own, and sees that as the root", async () => {
  const name = "two";
  await daemon.berth("run", "-d", "--name", name, "busybox", "sleep", "1000");
  const { out } = await daemon.berth(
    "exec",
    name,
    "sh",
    "-c",
    "mount; cat /sys/fs/cgroup/cgroup.procs",
  );
  expect(out).toMatch(/cgroup2? on \/sys\/fs\/cgroup type cgroup2 \(ro,/);
  expect(out.split("\n")).toContain("1");
  expect((await daemon.berth("pause", name)).status).toBe(0);
  expect((await daemon.berth("ps", "--format", "{{.Status}}")).out).toContain("(Paused)");
  expect((await daemon.berth("unpause", name)).status).toBe(0);
  expect((await daemon.berth("rm", "-f", name)).status).toBe(0);
});

test("devices are guarded although version 2 has no file for them", async () => {
  const probe = [
    "head -c 1 /dev/zero >/dev/null && echo zero",
    "mknod /disk b 254 0 && echo made",
    "head -c 1 /disk 2>&1",
    "mknod /kmsg c 1 11; head -c 1 /kmsg 2>&1",
  ].join("; ");
  // Nobody makes a device in a user namespace of its own.
  const host = ["run", "--rm", "--userns=host", "busybox", "sh", "-c"];
  const { out } = await daemon.berth(...host, probe);
  expect(out).toBe(
    "zero\nmade\nhead: /disk: Operation not permitted\nhead: /kmsg: Operation not permitted\n",
  );
  const grant = ["run", "--rm", "--device", "/dev/fuse:/dev/fuse:r", "busybox", "sh", "-c"];
  const read = await daemon.berth(...grant, "exec 3</dev/fuse");
  expect([read.status, read.err]).toEqual([0, ""]);
  const write = await daemon.berth(...grant, "exec 3>/dev/fuse");
  expect([write.status, write.err]).toEqual([
    1,
    expect.stringContaining("Operation not permitted"),
  ]);
});

test("a limit without its controller is left out, and warned of in Docker's words", async () => {
  const done = await daemon.docker("run", "--rm", "--cpu-shares", "512", "busybox", "echo", "runs");
  expect([done.status, done.out, done.err]).toEqual([
    0,
    "runs\n",
    "WARNING: Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.\n",
  ]);
});
