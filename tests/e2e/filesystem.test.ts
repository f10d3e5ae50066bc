/** A container's file system from outside: diff, export, commit; with both drivers and both command lines. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";

const before = takeCensus();
const daemons = {
  overlay2: new TestDaemon(),
  vfs: new TestDaemon(["--storage-driver", "vfs", "--bip", "172.29.77.1/24"]),
};

beforeAll(async () => {
  await daemons.overlay2.start();
  await daemons.vfs.start();
});
afterAll(async () => {
  await daemons.overlay2.destroy();
  await daemons.vfs.destroy();
  expect(await settledLeftover(before)).toEqual([]);
});

const script = [
  "echo new > /etc/new",
  "rm /etc/group",
  "echo more >> /etc/passwd",
  "mkdir -p /made/deep",
  "ln -s ../etc/new /made/link",
  "echo x > /made/one && ln /made/one /made/two",
  "mknod /made/pipe p",
  "chmod 4711 /made/one",
  "chown 1000:100 /made/deep",
].join("; ");

describe.each([
  ["overlay2", "berth"],
  ["overlay2", "docker"],
  ["vfs", "berth"],
] as const)("%s, %s", (driver, client) => {
  const daemon = daemons[driver];
  const run = (...args: string[]) => daemon[client](...args);

  test("diff tells what was added, changed and deleted, and nothing else", async () => {
    await run(
      "run",
      "--name",
      "changed",
      "-v",
      "/vol",
      "busybox",
      "sh",
      "-c",
      `${script}; echo v > /vol/f`,
    );
    const { out } = await run("diff", "changed");
    const lines = out.trim().split("\n").sort();
    expect(lines).toEqual(
      [
        "C /etc",
        "A /etc/new",
        "D /etc/group",
        "C /etc/passwd",
        "A /made",
        "A /made/deep",
        "A /made/link",
        "A /made/one",
        "A /made/two",
        "A /made/pipe",
        "A /vol",
      ].sort(),
    );
  });

  test("export is the whole file system, without volumes", async () => {
    const file = `${daemon.directory}/export-${client}.tar`;
    expect((await run("export", "-o", file, "changed")).status).toBe(0);
    const listed = Bun.spawnSync(["tar", "-tvf", file]).stdout.toString();
    expect(listed).toMatch(/^-rws--x--x 0\/0 +2 .* made\/one$/m);
    expect(listed).toMatch(/^hrws--x--x 0\/0 +0 .* made\/two link to made\/one$/m);
    expect(listed).toMatch(/^lrwxrwxrwx .* made\/link -> \.\.\/etc\/new$/m);
    expect(listed).toMatch(/^drwxr-xr-x 1000\/100 .* made\/deep\/$/m);
    expect(listed).toMatch(/^prw-r--r-- .* made\/pipe$/m);
    expect(listed).toContain("bin/busybox");
    expect(listed).not.toContain("etc/group");
    expect(listed).not.toContain("vol/f");
    const out = `${daemon.directory}/unpacked-${client}`;
    mkdirSync(out);
    expect(Bun.spawnSync(["tar", "-xf", file, "-C", out]).exitCode).toBe(0);
    expect(readFileSync(`${out}/etc/new`, "utf8")).toBe("new\n");
    const imported = await run("import", file, `imported-${client}`);
    expect(imported.status).toBe(0);
    const again = await run("run", "--rm", `imported-${client}`, "cat", "/made/link");
    expect(again.out).toBe("new\n");
    await run("rmi", `imported-${client}`);
  });

  test("commit makes an image that a new container begins with", async () => {
    const done = await run(
      ...[
        "commit",
        "-a",
        "A. Author",
        "-m",
        "why",
        "-c",
        "ENV X=y",
        "-c",
        'CMD ["cat","/etc/new"]',
      ],
      ...["changed", `made-${client}:one`],
    );
    expect(done.out).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect((await run("run", "--rm", `made-${client}:one`)).out).toBe("new\n");
    const inside = await run(
      ...["run", "--rm", `made-${client}:one`, "sh", "-c"],
      "echo $X; test -e /etc/group || echo gone; stat -c '%a %u:%g %h' /made/one /made/deep; readlink /made/link",
    );
    expect(inside.out).toBe("y\ngone\n4711 0:0 2\n755 1000:100 2\n../etc/new\n");
    expect((await run("diff", "changed")).out).toContain("A /etc/new");
    const history = await run(
      "history",
      "--no-trunc",
      "--format",
      "{{.Comment}}",
      `made-${client}:one`,
    );
    expect(history.out.split("\n")[0]).toBe("why");
    // The layer counts on the base's layers, not on its name.
    const inspected = await run(
      "inspect",
      "-f",
      "{{len .RootFS.Layers}} {{.Author}}",
      `made-${client}:one`,
    );
    expect(inspected.out).toBe("2 A. Author\n");
    await run("rm", "-v", "changed");
    expect((await run("rmi", `made-${client}:one`)).status).toBe(0);
  });

  test("a running container is stopped for the moment of a commit, and goes on", async () => {
    await run(
      "run",
      "-d",
      "--name",
      "busy",
      "busybox",
      "sh",
      "-c",
      "i=0; while :; do i=$((i+1)); echo $i > /m; mv /m /n; done",
    );
    const done = await run("commit", "busy", "of-busy");
    expect(done.status).toBe(0);
    const was = Number((await run("run", "--rm", "of-busy", "cat", "/n")).out);
    await Bun.sleep(50);
    const now = Number((await run("exec", "busy", "cat", "/n")).out);
    expect(now).toBeGreaterThan(was);
    await run("rm", "-f", "busy");
    await run("rmi", "of-busy");
  });
});

test("cp takes files and trees out, running or not, and leads nobody out by links", async () => {
  const daemon = daemons.overlay2;
  const target = `${daemon.directory}/copied`;
  mkdirSync(target);
  const make = `${script}; echo v > /vol/f; ln -s /etc/new /abs; ln -s ../../../../../etc/hostname /up; ln -s loop /loop`;
  await daemon.berth("run", "--name", "source", "-v", "/vol", "busybox", "sh", "-c", make);
  const copy = async (from: string, to: string, ...flags: string[]) => {
    const done = await daemon.docker("cp", ...flags, `source:${from}`, `${target}/${to}`);
    return done.status === 0 ? "" : done.err;
  };
  for (const round of ["stopped", "running"]) {
    if (round === "running") {
      await daemon.berth("rm", "-f", "source");
      await daemon.berth(
        ...["run", "-d", "--name", "source", "-v", "/vol", "busybox", "sh", "-c"],
        `${make}; echo done; sleep 1000`,
      );
      while (!(await daemon.berth("logs", "source")).out.includes("done")) await Bun.sleep(10);
    }
    expect(await copy("/etc/new", `${round}-file`)).toBe("");
    expect(readFileSync(`${target}/${round}-file`, "utf8")).toBe("new\n");
    expect(await copy("/made", `${round}-made`)).toBe("");
    expect(readFileSync(`${target}/${round}-made/two`, "utf8")).toBe("x\n");
    expect(await copy("/made/.", `${round}-inside`)).toBe("");
    expect(readlinkSync(`${target}/${round}-inside/link`)).toBe("../etc/new");
    expect(await copy("/vol/f", `${round}-volume`)).toBe("");
    expect(readFileSync(`${target}/${round}-volume`, "utf8")).toBe("v\n");
    expect(await copy("/abs", `${round}-link`)).toBe("");
    expect(readlinkSync(`${target}/${round}-link`)).toBe("/etc/new");
    expect(await copy("/abs", `${round}-followed`, "-L")).toBe("");
    expect(readFileSync(`${target}/${round}-followed`, "utf8")).toBe("new\n");
    // The container's own hostname file (empty below the mount), never the host's.
    expect(await copy("/up", `${round}-up`, "-L")).toBe("");
    expect(readFileSync(`${target}/${round}-up`, "utf8")).toBe("");
    expect(await copy("/nothing", "x")).toContain("Could not find the file /nothing");
    expect(await copy("/etc/group", "x")).toContain("Could not find the file /etc/group");
    expect(await copy("/loop/x", "x")).not.toBe("");
  }
  await daemon.berth("rm", "-f", "-v", "source");
});

test("a directory that was replaced shows what is gone from it", async () => {
  const daemon = daemons.overlay2;
  await daemon.berth(
    "run",
    "--name",
    "replaced",
    "busybox",
    "sh",
    "-c",
    "rm -r /etc; mkdir /etc; echo p > /etc/passwd",
  );
  const { out } = await daemon.berth("diff", "replaced");
  expect(out.split("\n")).toContain("D /etc/group");
  expect(out.split("\n")).toContain("C /etc/passwd");
  await daemon.berth("commit", "replaced", "of-replaced");
  const left = await daemon.berth(
    "run",
    "--rm",
    "of-replaced",
    "sh",
    "-c",
    "ls /etc; cat /etc/passwd",
  );
  expect(left.out).toContain("passwd\n");
  expect(left.out).not.toContain("group");
  expect(left.out).toEndWith("p\n");
  await daemon.berth("rm", "replaced");
  await daemon.berth("rmi", "of-replaced");
});

test("a container that swaps directories for links while it is exported leads nobody out of it", async () => {
  const daemon = daemons.overlay2;
  const secret = `${daemon.directory}/secret`;
  await Bun.write(`${secret}/inner/file`, "host secret");
  const swap = `mkdir -p /d/inner; echo own > /d/inner/file; cd /; while :; do mv d e; ln -s ${secret} d; rm d; mv e d; done`;
  await daemon.berth("run", "-d", "--name", "swaps", "busybox", "sh", "-c", swap);
  for (let round = 0; round < 15; round++) {
    const done = Bun.spawnSync(["dist/berth", "export", "swaps"], {
      env: { BERTH_HOST: `unix://${daemon.socket}` },
    });
    expect(done.stdout.includes("host secret")).toBe(false);
  }
  await daemon.berth("rm", "-f", "swaps");
});
