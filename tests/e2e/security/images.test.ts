/** Images that are made to break the engine that runs them: each attack of an advisory, really tried. */
import { expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Builder } from "../../build-conformance/builders.ts";
import type { Files } from "../../build-conformance/case.ts";
import { archiveOf } from "../../build-conformance/image.ts";
import { withVictim } from "../../kits/attacker.ts";
import { daemonOfFile } from "../../kits/daemon.ts";

const daemon = daemonOfFile();
const builder = new Builder(daemon.socket);
const busybox = readFileSync("/bin/busybox");
const system: Files = {
  "bin/busybox": { content: busybox, mode: 0o755 },
  "bin/sh": { type: "symlink", link: "busybox" },
};

/** An image of nothing but these files, and what its configuration says. */
async function image(name: string, files: Files, ...changes: string[]): Promise<void> {
  const query = new URLSearchParams({ fromSrc: "-", repo: name });
  for (const change of changes) query.append("changes", change);
  const body = Buffer.from(archiveOf({ ...system, ...files }));
  const response = await fetch(`http://x/images/create?${query}`, {
    method: "POST",
    unix: daemon.socket,
    body,
  });
  expect(`${response.status} ${await response.text()}`).toMatch(/^200 [\s\S]*sha256:/);
}

const run = (...args: string[]) => daemon.berth("run", "--rm", ...args);

test("nobody writes to the supervisor's program through /proc/PID/exe (CVE-2019-5736)", async () => {
  await daemon.berth("run", "-d", "--name", "shim", "--init", "busybox", "sleep", "1000");
  const [seen = "", ...answers] = (
    await daemon.berth(
      "exec",
      "shim",
      "sh",
      "-c",
      // PID 1 is the supervisor's own program. Who holds it open read-only tries until nobody executes it any more.
      "readlink /proc/1/exe || echo unseen; (echo x > /proc/1/exe) 2>&1; exec 9</proc/1/exe; (echo x > /proc/self/fd/9) 2>&1",
    )
  ).out.split("\n");
  // Who is nobody outside may not even see which program that is.
  expect(seen).toMatch(/memfd:berth-shim|^unseen$/);
  for (const answer of answers.filter(Boolean))
    expect(answer).toMatch(/Text file busy|Permission denied|not permitted/);
  // "Text file busy" ends with the last process; what stays is the seal of the memory: 15 is write, grow, shrink, seal.
  const pid = Number(await daemon.inspect("shim", "{{.State.Pid}}"));
  const seals = Bun.spawnSync([
    "python3",
    "-c",
    `import fcntl; print(fcntl.fcntl(open("/proc/${pid}/exe","rb"), 1034))`,
  ]);
  expect(seals.stdout.toString()).toBe("15\n");
  // The program as an entrypoint: it starts nothing, and the next container is well.
  await image("exe", { x: { type: "symlink", link: "/proc/self/exe" } }, 'ENTRYPOINT ["/x"]');
  expect((await run("exe")).status).not.toBe(0);
  expect((await run("busybox", "echo", "well")).out).toBe("well\n");
  await daemon.berth("rm", "-f", "shim");
});

test("a working directory that is a descriptor of the engine's is refused (CVE-2024-21626)", async () => {
  for (let fd = 0; fd < 24; fd++) {
    const path = `/proc/self/fd/${fd}`;
    await image("fd", {}, `WORKDIR ${path}`);
    const done = await run("fd", "/bin/busybox", "ls", "../../../../etc/shadow");
    expect([done.status === 0, done.out], path).toEqual([false, ""]);
  }
  await daemon.berth("run", "-d", "--name", "cwd", "busybox", "sleep", "1000");
  for (const fd of [3, 7, 8, 9, 10, 11, 12]) {
    const done = await daemon.berth(
      "exec",
      "-w",
      `/proc/self/fd/${fd}`,
      "cwd",
      "cat",
      "../../etc/shadow",
    );
    expect(done.status).not.toBe(0);
  }
  await daemon.berth("rm", "-f", "cwd");
});

test("paths are masked by the real null device, whatever /dev of the container holds (CVE-2025-31133)", async () => {
  await daemon.berth("volume", "create", "dev");
  const into = ["-v", "dev:/d", "busybox", "sh", "-c"];
  await run(
    ...into,
    "ln -s /proc/sys/kernel/core_pattern /d/null; ln -s /proc/sysrq-trigger /d/console",
  );
  const attack =
    "wc -c < /proc/kcore; for f in /proc/kcore /proc/sys/kernel/core_pattern /dev/null /dev/console; do (echo '|/evil' > $f) 2>/dev/null; done; grep -c core_pattern /proc/self/mountinfo";
  for (const flags of [[], ["-t"], ["--privileged"]]) {
    const { out, err } = await run(...flags, "-v", "dev:/dev", "busybox", "sh", "-c", attack);
    // A device is made or bound there; both are refused.
    const refused = /mknod \/dev\/null: file exists|mount point inside \/proc \/dev\/null/;
    expect([out, err]).toEqual(["", expect.stringMatching(refused)]);
  }
  // Where the path itself is the attack: nothing but the null device of the host stands over it.
  expect((await run("busybox", "ls", "-l", "/proc/keys")).out).toMatch(/^c.* 1, +3 .*keys\n$/);
});

test("the console is the terminal itself, whatever stands at its path (CVE-2025-52565)", async () => {
  const before = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
  const link = { type: "symlink", link: "/proc/sys/kernel/core_pattern" } as const;
  const look =
    "/bin/busybox grep -c ' /proc/sys/kernel' /proc/self/mountinfo; /bin/busybox stat -c %t /dev/console; (echo '|/evil' > /dev/console) 2>/dev/null";
  const pts = { type: "symlink", link: "/evil" } as const;
  const evil = Object.fromEntries(["0", "1", "2", "ptmx"].map((name) => [`evil/${name}`, link]));
  await image("console", { "dev/console": link, "dev/pts": pts, ...evil });
  // 88 is the number of terminals, in hexadecimal digits.
  const shown = (await run("-t", "console", "/bin/sh", "-c", look)).out.replaceAll("\r", "");
  expect(shown).toMatch(/^0\n88\n/);
  // Where a volume hides the engine's own /dev there is no terminal, and nothing is mounted on what a link leads to.
  await daemon.berth("volume", "create", "console");
  const fill = "mkdir /d/pts; ln -s /proc/sys/kernel/core_pattern /d/console";
  await run("-v", "console:/d", "busybox", "sh", "-c", fill);
  const hidden = await run("-t", "-v", "console:/dev", "busybox", "true");
  expect([hidden.status, hidden.err]).toEqual([127, expect.stringContaining("/dev/pts/ptmx")]);
  expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8")).toBe(before);
  await daemon.berth("volume", "rm", "console");
});

test("nothing is mounted inside of /proc, by name or through a link (CVE-2025-52881, CVE-2019-16884)", async () => {
  for (const path of ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys/net", "//proc/./self"]) {
    await image("kernel", {}, `VOLUME ${path}`);
    for (const args of [
      ["kernel", "/bin/busybox"],
      ["-v", `some:${path}`, "busybox"],
      ["--tmpfs", path, "busybox"],
    ]) {
      const { status, err } = await run(...args, "true");
      expect([status, err], path).toEqual([125, expect.stringMatching(/inside \/proc/)]);
    }
  }
  await image("linked", {
    p: { type: "symlink", link: "proc" },
    q: { type: "symlink", link: "/proc/self" },
  });
  for (const path of ["/p/self/attr", "/q/attr", "/p/sys"]) {
    for (const args of [
      ["-v", `some:${path}`],
      ["--tmpfs", path],
      ["-v", `/tmp:${path}`],
    ]) {
      const { status, err } = await run(...args, "linked", "/bin/busybox", "true");
      expect([status, err], `${args}`).toEqual([125, expect.stringContaining("inside /proc")]);
    }
  }
  // What lxcfs has is the one thing that belongs there.
  expect((await run("-v", "/proc/uptime:/proc/uptime:ro", "busybox", "true")).status).toBe(0);
});

test("an image whose /dev, /proc or /sys is a link writes nothing on the host (CVE-2026-41579, CVE-2019-19921)", async () => {
  await withVictim(async (victim) => {
    for (const name of ["dev", "proc", "sys"])
      for (const link of [victim, `../../../../../..${victim}`, `/proc/1/root${victim}`]) {
        await image("links", { [name]: { type: "symlink", link } });
        await run("links", "/bin/busybox", "true");
        await run("-t", "links", "/bin/busybox", "true");
        await run("--privileged", "links", "/bin/busybox", "true");
        expect(readdirSync(victim), `${name} -> ${link}`).toEqual(["secret"]);
      }
  });
});

test("a working directory, a volume and the engine's own files behind a link of the image stay inside (CVE-2026-55686)", async () => {
  await withVictim(async (victim) => {
    const link = { type: "symlink", link: victim } as const;
    const files = {
      l: link,
      var: link,
      // The image has a directory of that name, too: only there the links lead.
      [`${victim.slice(1)}/inside`]: "",
      round: { type: "symlink", link: "/round" },
    } as const;
    await image("away", files, "WORKDIR /l/made", "VOLUME /l/volume");
    const made = ["run", "--rm", "away", "/bin/busybox", "ls", victim];
    expect((await daemon.berth(...made)).out).toBe("inside\nmade\nvolume\n");
    const { out, err } = await run(
      "-w",
      "/l/other",
      "--user",
      "1000",
      "away",
      "/bin/busybox",
      "pwd",
    );
    expect([out, err]).toEqual([`${victim}/other\n`, ""]);
    await run("-v", "some:/var/deep", "away", "/bin/busybox", "touch", "/var/deep/x");
    const circle = await run("-v", "some:/round/deep", "away", "/bin/busybox", "true");
    expect([circle.status, circle.err]).toEqual([
      125,
      expect.stringContaining("too many levels of symbolic links"),
    ]);
    expect(circle.err).not.toContain("internal error");
    expect((await run("away", "/bin/busybox", "cat", "/l/secret")).out).toBe("");
  });
});

test("a password file that is a link or a pipe makes nobody wait and reads nothing of the host (CVE-2024-9676)", async () => {
  await withVictim(async (victim) => {
    writeFileSync(`${victim}/secret`, "of the host");
    writeFileSync("/tmp/bt-passwd", "evil:x:0:0::/:/bin/sh\n");
    try {
      for (const passwd of [
        { type: "symlink", link: "/tmp/bt-passwd" },
        { type: "symlink", link: "/proc/self/fd/0" },
        { type: "symlink", link: "/proc/1/root/tmp/bt-passwd" },
        { type: "fifo" },
        { type: "directory" },
      ] as const) {
        await image("users", { "etc/passwd": passwd, "etc/group": passwd });
        const { status, err } = await run("-u", "evil", "users", "/bin/busybox", "id", "-u");
        expect([status, err]).toEqual([125, expect.stringContaining("unable to find user evil")]);
        const ids = ["/bin/busybox", "grep", "^Gid", "/proc/self/status"];
        expect((await run("-u", "7:8", "users", ...ids)).out).toBe("Gid:\t8\t8\t8\t8\n");
      }
    } finally {
      rmSync("/tmp/bt-passwd");
    }
  });
});

test("a user that is beyond 31 bits, negative or odd is an error and never root (CVE-2024-40635, CVE-2026-30892)", async () => {
  for (const user of [
    "2147483648",
    "4294967296",
    "4294967295",
    "-1",
    "1:-1",
    "1:4294967296",
    "0x0",
    "1e3",
    " 0",
    "99999999999999999999",
    "root\n",
    "+0",
    "１",
  ]) {
    await image("odd", { "etc/passwd": "root:x:0:0::/:/bin/sh\n" }, `USER ${user}`);
    for (const args of [
      ["-u", user, "busybox"],
      ["odd", "/bin/busybox"],
    ]) {
      const { status, out } = await run(...args, "id", "-u");
      if (user === " 0" || user === "root\n") continue;
      expect([user, status, out]).toEqual([user, 125, ""]);
    }
  }
});

test("labels of an image ask nothing of the engine (CVE-2026-53488)", async () => {
  await image(
    "labels",
    {},
    'LABEL berth.health-on-failure="kill" berth.depends-on="other:healthy" com.docker.compose.depends_on="db:service_started:false" com.docker.compose.project="p" com.docker.compose.service="s" io.podman.annotations.privileged="TRUE"',
    'HEALTHCHECK --interval=100ms --retries=1 CMD ["/bin/busybox", "false"]',
  );
  await daemon.berth("run", "-d", "--name", "labelled", "labels", "/bin/busybox", "sleep", "1000");
  await daemon.until("labelled", "{{.State.Health.Status}}", "unhealthy");
  await daemon.until("labelled", "{{.State.Health.FailingStreak}}", /^[3-9]|\d\d/);
  expect(await daemon.inspect("labelled", "{{.State.Running}} {{.HostConfig.Privileged}}")).toBe(
    "true false",
  );
  await daemon.berth("rm", "-f", "labelled");
  // The same label of a user has its effect: the test could see it.
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "wished",
    "--label",
    "berth.health-on-failure=kill",
    "labels",
    "/bin/busybox",
    "sleep",
    "1000",
  );
  await daemon.until("wished", "{{.State.Running}}", "false");
  await daemon.berth("rm", "-f", "wished");
});

test("no program and no library of an image is run by the engine (CVE-2019-14271, CVE-2026-41567, CVE-2022-1227)", async () => {
  await withVictim(async (victim) => {
    const evil = {
      content: `#!/bin/busybox sh\necho pwned > ${victim}/pwned\necho pwned > /pwned\n`,
      mode: 0o755,
    };
    const names = [
      "xz",
      "unxz",
      "unpigz",
      "gzip",
      "gunzip",
      "zstd",
      "bzip2",
      "tar",
      "ps",
      "nsenter",
      "getent",
      "git",
      "mount",
      "nft",
    ];
    const files: Record<string, Files[string]> = {
      "lib/x86_64-linux-gnu/libnss_files.so.2": evil,
      "usr/lib/libnss_compat.so.2": evil,
      "etc/nsswitch.conf": "passwd: files compat\n",
      "etc/passwd": "app:x:5:5::/:/bin/sh\n",
      "etc/ld.so.preload": "/usr/lib/libnss_compat.so.2\n",
    };
    for (const name of names)
      for (const directory of ["bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin"])
        files[`${directory}/${name}`] = evil;
    await image("programs", files, "ENV LD_PRELOAD=/usr/lib/libnss_compat.so.2 BASH_ENV=/bin/xz");
    await daemon.berth("run", "-d", "--name", "trap", "programs", "/bin/busybox", "sleep", "1000");
    const compressed = Bun.spawnSync(["sh", "-c", "cd /etc && tar -cJ hostname"]).stdout;
    await daemon.berthWith({ stdin: compressed }, "cp", "-", "trap:/tmp");
    await daemon.berth("cp", "trap:/etc/passwd", "/dev/null");
    expect((await daemon.berth("top", "trap")).out).toContain("sleep");
    await daemon.berth("top", "trap", "-o", "pid,user,args");
    await daemon.berth("exec", "-u", "app", "trap", "/bin/busybox", "id");
    await daemon.berth("commit", "trap", "grown");
    await daemon.berth("export", "-o", "/dev/null", "trap");
    await daemon.berth("diff", "trap");
    expect(
      (
        await builder.build({
          dockerfile:
            "FROM programs\nADD a.tar.xz /x/\nCOPY --chown=app a.tar.xz /y\nUSER app\nWORKDIR /z",
          files: { "a.tar.xz": { content: compressed } },
        })
      ).error,
    ).toBeUndefined();
    expect((await daemon.berth("exec", "trap", "/bin/busybox", "ls", "/pwned")).status).not.toBe(0);
    await daemon.berth("rm", "-f", "trap");
  });
});

test("whatever an import is made of, it is unpacked inside of its root or refused (CVE-2025-47290, CVE-2020-10696)", async () => {
  await withVictim(async (victim) => {
    const bad: readonly Files[] = [
      { "../../../../../../../../tmp/bt-escaped": "x" },
      { l: { type: "symlink", link: victim }, "l/escaped": "x" },
      { l: { type: "symlink", link: victim }, "l/deep/escaped": "x" },
      {
        l: { type: "symlink", link: victim },
        l2: { type: "symlink", link: "l" },
        "l2/secret": { content: "changed", mode: 0o4777 },
      },
      { h: { type: "hardlink", link: `../../../../../../../..${victim}/secret` } },
      { l: { type: "symlink", link: victim }, h: { type: "hardlink", link: "l/secret" } },
      { l: { type: "symlink", link: victim }, "l/.wh.secret": "" },
      { l: { type: "symlink", link: victim }, "l/.wh..wh..opq": "" },
    ];
    for (const files of bad) {
      const body = Buffer.from(archiveOf(files));
      const response = await fetch("http://x/images/create?fromSrc=-&repo=bad", {
        method: "POST",
        unix: daemon.socket,
        body,
      });
      expect(await response.text()).not.toContain("internal error");
      expect(existsSync("/tmp/bt-escaped")).toBe(false);
      expect(readdirSync(victim), JSON.stringify(files)).toEqual(["secret"]);
      const seen =
        (await run("bad", "/h", "/l/secret")).out +
        (await run("-v", "/bin:/b", "--entrypoint", "/b/busybox", "bad", "cat", "/h", "/l/secret"))
          .out;
      expect(seen).not.toContain("of the host");
    }
  });
});

test("setuid programs of layers are out of reach of the host's users (CVE-2021-41091, CVE-2024-25621)", async () => {
  // As in /var/lib: the test's own directory keeps nobody out.
  chmodSync(daemon.directory, 0o755);
  await image("setuid", { "bin/root": { content: busybox, mode: 0o4755 } });
  await daemon.berth("run", "-d", "--name", "suid", "setuid", "/bin/busybox", "sleep", "1000");
  // Only root finds it.
  const own = Bun.spawnSync([
    "find",
    `${daemon.directory}/data`,
    "-perm",
    "-4000",
  ]).stdout.toString();
  expect(own).toContain("bin/root");
  const nobody = Bun.spawnSync([
    ...[
      "python3",
      "-c",
      "import os,sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execvp(sys.argv[1], sys.argv[1:])",
    ],
    ...[
      "sh",
      "-c",
      `find ${daemon.directory} -perm -4000 2>/dev/null; for f in ${own.trim().split("\n").join(" ")}; do test -x $f && echo reached; done; ls ${daemon.directory}/exec/c ${daemon.directory}/data/containers`,
    ],
  ]);
  expect(nobody.stdout.toString()).toBe("");
  // Nor does anybody read a file whose name is known: what containers are given stands in databases.
  const files = Bun.spawnSync(["find", daemon.directory, "-type", "f"]).stdout.toString();
  expect(files).toContain("data/containers.db-wal");
  const tried = Bun.spawnSync(
    [
      "python3",
      "-c",
      "import os,sys\nos.setgroups([]); os.setgid(65534); os.setuid(65534)\nfor f in sys.stdin.read().splitlines():\n  try: open(f,'rb').read(1); print(f)\n  except OSError: pass",
    ],
    { stdin: Buffer.from(files) },
  );
  const read = tried.stdout.toString().split("\n").filter(Boolean);
  const below = `${daemon.directory}/`;
  // An id, a lock, the test's own files, and what volumes let everybody read, who knows their names.
  const harmless =
    /^(log|berth|etc\/\w+|data\/engine-id|exec\/berth\.pid|(data|exec)\/lock(-journal)?|data\/volumes\/\w+\/_data\/.*)$/;
  expect(
    read.map((path) => path.slice(below.length)).filter((path) => !harmless.test(path)),
  ).toEqual([]);
  await daemon.berth("rm", "-f", "suid");
});

test("a load of padding, or of one huge document, costs no memory (CVE-2017-14992, CVE-2023-25153)", async () => {
  const memory = () =>
    Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]);
  const before = memory();
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, memory());
  }, 20);
  // Half a gigabyte of zeros after the end, compressed to little.
  const padding = Bun.spawnSync(
    ["sh", "-c", "(tar -c -C /etc hostname; head -c 536870912 /dev/zero) | gzip -1"],
    { maxBuffer: 1 << 28 },
  ).stdout;
  await daemon.berthWith({ stdin: padding }, "import", "-", "padded");
  await daemon.berthWith({ stdin: padding }, "load");
  const huge = archiveOf({ "manifest.json": `[${"{},".repeat(4_000_000)}{}]` });
  expect((await daemon.berthWith({ stdin: huge }, "load")).status).not.toBe(0);
  clearInterval(watch);
  expect(peak - before).toBeLessThan(250 << 10);
});

test("an archive of a daemon's checkpoint is data: no configuration, tag or link is taken of it (CVE-2026-53489)", async () => {
  const { status, text } = await daemon.api("POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["true"],
  });
  const { Id } = JSON.parse(text) as { Id: string };
  expect(status).toBe(201);
  for (const query of ["checkpoint=x", "checkpoint=x&checkpoint-dir=/tmp"]) {
    const start = await daemon.api("POST", `/containers/${Id}/start?${query}`);
    expect([start.status >= 400, start.text]).toEqual([true, expect.stringContaining("heckpoint")]);
  }
  expect(
    (await daemon.api("POST", `/containers/${Id}/checkpoints`, { CheckpointID: "../../x" })).status,
  ).toBeGreaterThanOrEqual(400);
  await daemon.berth("rm", Id);
});
