/** Logs in all their forms, archives of images, other runtimes, and daemons side by side. */
import { expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";

const daemon = daemonOfFile();

test("following a log goes on across rotations and ends with the container", async () => {
  const script =
    "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); [ $((i%50)) = 0 ] && usleep 5000; done";
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "rotating",
    "--log-opt",
    "max-size=40k",
    "--log-opt",
    "max-file=20",
    "busybox",
    "sh",
    "-c",
    script,
  );
  const followed = await daemon.berth("logs", "-f", "rotating");
  expect(followed.out.trimEnd().split("\n")).toEqual(
    Array.from({ length: 3000 }, (_, i) => `line ${i}`),
  );
  const path = (await daemon.berth("inspect", "-f", "{{.LogPath}}", "rotating")).out.trim();
  expect(existsSync(`${path}.2`)).toBe(true);
  expect((await daemon.berth("logs", "-n", "2", "rotating")).out).toBe("line 2998\nline 2999\n");
  // More than the newest file holds.
  expect((await daemon.berth("logs", "--tail", "1000", "rotating")).out.split("\n").length).toBe(
    1001,
  );
  const stamped = (await daemon.berth("logs", "-t", "-n", "1", "rotating")).out;
  expect(stamped).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 2999\n$/);
  expect((await daemon.berth("logs", "--since", stamped.split(" ")[0] ?? "", "rotating")).out).toBe(
    "line 2999\n",
  );
  appendFileSync(
    path,
    '{"log":"torn\n{"log":"after\\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}\n',
  );
  const mended = await daemon.berth("logs", "-n", "2", "rotating");
  expect(mended.out).toBe("after\n");
  expect([mended.status, mended.err]).toEqual([
    1,
    "Error grabbing logs: the log is damaged in 1 place, and what stood there is left out\n",
  ]);
  await daemon.berth("rm", "rotating");
});

test("long lines come back whole, stdout and stderr apart", async () => {
  const done = await daemon.berth(
    "run",
    "--name",
    "long",
    "busybox",
    "sh",
    "-c",
    "head -c 100000 /dev/zero | tr '\\0' x; echo; echo err >&2",
  );
  expect(done.out).toBe(`${"x".repeat(100_000)}\n`);
  const logs = await daemon.berth("logs", "long");
  expect([logs.out, logs.err]).toEqual([`${"x".repeat(100_000)}\n`, "err\n"]);
  await daemon.berth("rm", "long");
});

test("an image is imported, named, listed, run, and removed", async () => {
  const root = `${daemon.directory}/root`;
  mkdirSync(`${root}/bin`, { recursive: true });
  Bun.spawnSync(["cp", "/bin/busybox", `${root}/bin/busybox`]);
  writeFileSync(`${root}/word`, "imported\n");
  const tar = new Uint8Array(Bun.spawnSync(["tar", "-C", root, "-cz", "."]).stdout);
  const imported = await daemon.berthWith(
    { stdin: tar },
    "import",
    "-c",
    'CMD ["/bin/busybox","cat","/word"]',
    "-",
    "mine:1",
  );
  expect(imported.out).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  expect((await daemon.berth("run", "--rm", "mine:1")).out).toBe("imported\n");
  await daemon.berth("tag", "mine:1", "other:2");
  expect(
    (await daemon.berth("images", "--format", "{{.Repository}}:{{.Tag}}", "-f", "reference=other"))
      .out,
  ).toBe("other:2\n");
  expect((await daemon.berth("rmi", "mine:1")).out).toBe("Untagged: mine:1\n");
  expect((await daemon.berth("rmi", "other:2")).out).toContain("Deleted: sha256:");
  expect((await daemon.berth("run", "--rm", "other:2", "true")).status).toBe(125);
});

test("a hostile or broken archive is refused by name, and nothing of it stays", async () => {
  // A device is a file like any other.
  const empty = await daemon.berth("load", "-i", "/dev/null");
  expect([empty.status, empty.err]).toEqual([1, expect.stringContaining("it is empty")]);
  const bad = await daemon.berthWith({ stdin: "x".repeat(4096) }, "load");
  expect(bad.status).toBe(1);
  expect(bad.err).toContain("no tar archive");
  const cut = new Uint8Array(Bun.spawnSync(["tar", "-C", "/bin", "-c", "busybox"]).stdout).subarray(
    0,
    100_000,
  );
  expect((await daemon.berthWith({ stdin: cut }, "import", "-", "cut:1")).err).toContain("damaged");
  expect((await daemon.berth("images", "-q", "cut")).out).toBe("");
});

test("the vfs driver does the same, on a daemon of its own beside this one", async () => {
  const other = await new TestDaemon(["--storage-driver", "vfs"]).start();
  try {
    expect((await other.berth("info", "--format", "{{.Driver}}")).out).toBe("vfs\n");
    expect(
      (await other.berth("run", "--rm", "busybox", "sh", "-c", "echo x > /f; cat /f")).out,
    ).toBe("x\n");
    await Promise.all(
      [daemon, other].map((one) =>
        one.berth("run", "-d", "--name", "same", "busybox", "sleep", "100"),
      ),
    );
    expect((await daemon.berth("ps", "--format", "{{.Names}}")).out).toBe("same\n");
    const networks = await Promise.all(
      [daemon, other].map((one) =>
        one.berth("inspect", "-f", "{{.NetworkSettings.Gateway}}", "same"),
      ),
    );
    expect(networks[0]?.out).not.toBe(networks[1]?.out);
    await daemon.berth("rm", "-f", "same");
  } finally {
    await other.destroy();
  }
});

test("two daemons cannot share a root, and unknown flags are errors", async () => {
  const args = [
    "--data-root",
    `${daemon.directory}/data`,
    "--exec-root",
    `${daemon.directory}/other`,
    "-H",
    `unix://${daemon.directory}/o`,
  ];
  const second = Bun.spawnSync(["dist/berth", "daemon", ...args]);
  expect(second.exitCode).toBe(1);
  expect(second.stderr.toString()).toContain("another berth daemon uses");
  const unknown = Bun.spawnSync(["dist/berth", "daemon", "--no-such-flag"]);
  expect(unknown.exitCode).toBe(1);
  expect(unknown.stderr.toString()).toContain("--no-such-flag");
});

test.skipIf(Bun.which("runc") === null)("the same container runs under runc", async () => {
  const script = "hostname; cat /proc/1/comm; ip -o -4 addr show eth0 | wc -l; exit 6";
  const done = await daemon.berth(
    "run",
    "--rm",
    "--runtime",
    "runc",
    "-h",
    "under-runc",
    "-m",
    "64m",
    "busybox",
    "sh",
    "-c",
    script,
  );
  expect(done).toEqual({ status: 6, out: "under-runc\nsh\n1\n", err: "" });
  await daemon.berth("run", "-d", "--name", "rc", "--runtime", "runc", "busybox", "sleep", "1000");
  expect((await daemon.berth("exec", "rc", "true")).err).toContain(
    "exec is not supported in a container under runc",
  );
  await daemon.berth("rm", "-f", "rc");
});

test("events tell a container's life", async () => {
  const since = String(Math.floor(Date.now() / 1000) - 1);
  await daemon.berth("run", "--rm", "--name", "told", "busybox", "true");
  const until = String(Math.floor(Date.now() / 1000) + 1);
  const told = await daemon.berth(
    "events",
    "--since",
    since,
    "--until",
    until,
    "-f",
    "container=told",
    "--format",
    "{{.Action}}",
  );
  expect(told.out).toBe("create\nattach\nstart\ndie\ndestroy\n");
});
