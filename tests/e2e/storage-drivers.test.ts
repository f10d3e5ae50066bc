/** Every storage driver on the file systems that it is for: the suite, and containers of a daemon. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { type FileSystemKind, fileSystemMissing, TestFileSystem } from "../kits/file-system.ts";
import { archive, type SuitePlace, storageSuite } from "../kits/storage-suite.ts";

/** A directory on the file system of /tmp. */
function here(): SuitePlace {
  const path = mkdtempSync("/tmp/bs-");
  return { path, remove: () => rmSync(path, { recursive: true }) };
}

storageSuite("overlay2", "the host's file system", here);
storageSuite("erofs", "the host's file system", here);
for (const [driver, kind] of [
  ["overlay2", "xfs"],
  ["erofs", "btrfs"],
  ["btrfs", "btrfs"],
  ["vfs", "xfs"],
] as const satisfies readonly (readonly [string, FileSystemKind])[])
  storageSuite(driver, kind, () => new TestFileSystem(kind), fileSystemMissing(kind));

const noFuse = Bun.which("fuse-overlayfs") === null ? "fuse-overlayfs is not installed" : undefined;
storageSuite("fuse-overlayfs", "the host's file system", here, noFuse);

/** Processes that serve containers' roots. */
function servers(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, "utf8") === "fuse-overlayfs\n";
      } catch {
        return false;
      }
    });
}

const daemons = [
  ["overlay2", "ext4"],
  ["erofs", "xfs"],
  ["btrfs", "btrfs"],
  ["fuse-overlayfs", "ext4"],
  ["vfs", "xfs"],
] as const satisfies readonly (readonly [string, FileSystemKind])[];

describe.each(daemons)("a daemon with %s on %s", (driver, kind) => {
  const skipped = fileSystemMissing(kind) ?? (driver === "fuse-overlayfs" ? noFuse : undefined);
  const run = test.skipIf(skipped !== undefined);
  let before: ReturnType<typeof takeCensus>;
  let fs: TestFileSystem;
  let daemon: TestDaemon;
  beforeAll(async () => {
    if (skipped !== undefined) return;
    before = takeCensus();
    fs = new TestFileSystem(kind);
    daemon = await new TestDaemon(["--data-root", `${fs.path}/data`, "-s", driver]).start();
  });
  afterAll(async () => {
    if (skipped !== undefined) return;
    await daemon.destroy();
    fs.remove();
    expect(servers()).toEqual([]);
    expect(await settledLeftover(before)).toEqual([]);
  });
  const berth = async (...args: string[]) => (await daemon.berth(...args)).out;

  run(`info names it${skipped === undefined ? "" : ` (skipped: ${skipped})`}`, async () => {
    const status = await berth("info", "-f", "{{.Driver}} {{json .DriverStatus}}");
    expect(status).toStartWith(`${driver} `);
    expect(status).toContain(`["Backing Filesystem","${kind === "ext4" ? "extfs" : kind}"]`);
    expect(status).toMatch(new RegExp(`"Drivers that work here","[^"]*\\b${driver}\\b`));
  });

  run(
    "a container writes, ends, starts again, is looked at, copied, committed and removed",
    async () => {
      const script =
        "cat /n 2>/dev/null; echo run >> /n; rm -f /etc/group; touch /d/f; stat -c %U /n";
      await daemon.berth(
        "create",
        "--name",
        "one",
        "busybox",
        "sh",
        "-c",
        `mkdir -p /d; ${script}`,
      );
      expect(await berth("start", "-a", "one")).toBe("root\n");
      expect(await berth("start", "-a", "one")).toBe("run\nroot\n");
      const told = (await berth("diff", "one")).trim().split("\n").sort();
      expect(told).toEqual(["A /d", "A /d/f", "A /n", "C /etc", "D /etc/group"]);
      expect(await berth("ps", "-as", "--format", "{{.Size}}")).toMatch(/^8B \(virtual /);
      const file = `${daemon.directory}/in`;
      writeFileSync(file, "from outside");
      expect((await daemon.berth("cp", file, "one:/d/in")).err).toBe("");
      expect((await daemon.berth("cp", "one:/d/in", `${file}.out`)).err).toBe("");
      expect(readFileSync(`${file}.out`, "utf8")).toBe("from outside");
      const listed = Bun.spawnSync(["tar", "-tf", "-"], {
        stdin: new TextEncoder().encode(await berth("cp", "one:/d", "-")),
      }).stdout.toString();
      expect(listed.split("\n").sort()).toEqual(["", "d/", "d/f", "d/in"]);
      expect(await berth("commit", "one", "made")).toStartWith("sha256:");
      const look = "cat /n /d/in; ls /etc/group; ls -a /d";
      const again = await daemon.berth("run", "--rm", "made", "sh", "-c", look);
      expect(again.out).toBe("run\nrun\nfrom outside.\n..\nf\nin\n");
      expect(again.err).toContain("/etc/group: No such file");
      await berth("rm", "one");
      expect(await berth("rmi", "made")).toContain("Deleted: sha256:");
    },
  );

  run("a size that a container is held to, or its refusal", async () => {
    const fill = "dd if=/dev/zero of=/big bs=1M count=40 conv=fsync 2>&1; wc -c < /big";
    const limited = ["run", "--rm", "--storage-opt", "size=16m", "busybox", "sh", "-c", fill];
    const done = await daemon.berth(...limited);
    if (driver !== "btrfs") {
      expect(done.status).toBe(125);
      expect(done.err).toContain(`size is not supported by the storage driver ${driver}`);
      return;
    }
    expect(done.out).toContain("Disk quota exceeded");
    const written = Number(done.out.trim().split("\n").at(-1));
    expect(written).toBeGreaterThan(10 << 20);
    expect(written).toBeLessThanOrEqual(16 << 20);
    const free = await berth("run", "--rm", "busybox", "sh", "-c", fill);
    expect(free.trim().split("\n").at(-1)).toBe(String(40 << 20));
    const wrong = await daemon.berth(
      "run",
      "--rm",
      "--storage-opt",
      "size=much",
      "busybox",
      "true",
    );
    expect(wrong.err).toContain("invalid size: 'much'");
  });

  run(
    "a directory that is replaced, and volumes filled from layers that take things away",
    async () => {
      const make =
        "mkdir -p /v/gone /v/kept; echo 1 > /v/gone/f; echo 2 > /v/kept/old; echo 3 > /v/file";
      await daemon.berth("run", "--name", "low", "busybox", "sh", "-c", make);
      await daemon.berth("commit", "low", "low");
      const change =
        "rm -r /v/gone /v/file /v/kept; mkdir /v/kept; echo 4 > /v/kept/new; chmod 700 /v";
      await daemon.berth("run", "--name", "high", "low", "sh", "-c", change);
      await daemon.berth("commit", "high", "high");
      const list = "cd /v && find . | sort | tr '\\n' ' ' && stat -c %a .";
      const whole = ". ./kept ./kept/new 700\n";
      expect(await berth("run", "--rm", "high", "sh", "-c", list)).toBe(whole);
      expect(await berth("run", "--rm", "-v", "filled:/v", "high", "sh", "-c", list)).toBe(whole);
      const mount = "type=image,source=high,target=/image";
      expect(await berth("run", "--rm", "--mount", mount, "busybox", "ls", "/image/v/kept")).toBe(
        "new\n",
      );
      const exported = `${daemon.directory}/high.tar`;
      await daemon.berth("export", "-o", exported, "high");
      const names = Bun.spawnSync(["tar", "-tf", exported]).stdout.toString();
      expect(names.split("\n").filter((name) => /^v\//.test(name))).toEqual([
        "v/",
        "v/kept/",
        "v/kept/new",
      ]);
      expect(names).not.toContain(".wh.");
      await daemon.berth("rm", "low", "high");
      await daemon.berth("rmi", "high", "low");
      await daemon.berth("volume", "rm", "filled");
    },
  );

  run("a container outlives its daemon, and nothing of it is seen on the host", async () => {
    const mounts = takeCensus().mounts;
    const work = "i=0; while :; do i=$((i+1)); echo $i > /m; mv /m /n; sleep 0.01; done";
    await daemon.berth(
      "run",
      "-d",
      "--name",
      "lives",
      "--read-only=false",
      "busybox",
      "sh",
      "-c",
      work,
    );
    expect(takeCensus().mounts).toEqual(mounts);
    await daemon.kill();
    await daemon.start();
    const count = async () => Number(await berth("exec", "lives", "cat", "/n"));
    const was = await count();
    while ((await count()) <= was) await Bun.sleep(10);
    const seen = await berth("exec", "lives", "ps");
    expect(seen).not.toContain("fuse");
    await daemon.berth("pause", "lives");
    expect((await daemon.berth("cp", "lives:/n", "-")).status).toBe(0);
    await daemon.berth("unpause", "lives");
    expect((await daemon.berth("rm", "-f", "lives")).err).toBe("");
    expect(await berth("system", "df", "-v")).not.toContain("lives");
    await daemon.stop();
    expect(readdirSync(`${fs.path}/data/${driver}/containers`)).toEqual([]);
    expect(readdirSync(`${fs.path}/data/${driver}/trash`)).toEqual([]);
    await daemon.start();
  });

  run("a daemon that is killed while a layer comes in leaves nothing of it", async () => {
    const root = `${fs.path}/data/${driver}`;
    const layersBefore = readdirSync(`${root}/layers`).length;
    const file = `${daemon.directory}/half.tar`;
    const data = new Uint8Array(12_000).fill(1);
    writeFileSync(
      file,
      archive(Array.from({ length: 2500 }, (_, at) => ({ path: `d${at % 50}/f${at}`, data }))),
    );
    let over = false;
    const importing = daemon.berth("import", file, "half").finally(() => {
      over = true;
    });
    while (readdirSync(`${root}/new`).length === 0 && !over) await Bun.sleep(1);
    await daemon.kill();
    await importing;
    await daemon.start();
    const left = () => ["new", "trash"].flatMap((name) => readdirSync(`${root}/${name}`));
    while (left().length > 0) await Bun.sleep(10);
    // It was whole, with its image, or it is not there.
    const images = (await berth("images", "-q", "half")).split("\n").filter(Boolean).length;
    expect(readdirSync(`${root}/layers`).length).toBe(layersBefore + images);
    expect((await daemon.berth("import", file, "again")).status).toBe(0);
    expect((await daemon.berth("create", "--name", "whole", "again", "x")).status).toBe(0);
    expect(await berth("cp", "whole:/d49/f2499", "-")).toContain("\u0001".repeat(12_000));
    await daemon.berth("rm", "whole");
    await daemon.berth("rmi", "again");
    if (images > 0) await daemon.berth("rmi", "half");
  });

  if (driver !== "fuse-overlayfs") return;
  run("a container ends with the program that serves its root", async () => {
    await daemon.berth("run", "-d", "--name", "served", "busybox", "sleep", "1000");
    const [server = 0] = servers();
    process.kill(server, "SIGKILL");
    // Killed, or by its next page of the program that was not there.
    expect(await berth("wait", "served")).toMatch(/^13[57]\n$/);
    await daemon.berth("start", "served");
    expect(servers().length).toBe(1);
    await daemon.berth("rm", "-f", "served");
  });
});
