/** Attacks that win only when something changes between a look and a use: each with a container that changes it all the time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { compiled, exchanger, withVictim } from "../../kits/attacker.ts";
import { daemonOfFile } from "../../kits/daemon.ts";

const daemon = daemonOfFile();

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const program = compiled("exchange", exchanger);
afterAll(() => rmSync(program.directory, { recursive: true }));

/** A container that swaps a directory of a volume and a link to the victim, without a moment in which there is neither. */
async function swapper(victim: string): Promise<void> {
  await done("volume", "create", "field");
  const script = `mkdir -p /f/a/d && ln -s ${victim} /f/b && exec ${program.path} /f/a /f/b`;
  const attack = ["-v", "field:/f", "-v", `${program.directory}:/attack:ro`];
  await done("run", "-d", "--name", "swap", ...attack, "busybox", "sh", "-c", script);
}

async function withSwapper(use: (victim: string) => Promise<void>): Promise<void> {
  await withVictim(async (victim) => {
    await swapper(victim);
    try {
      await use(victim);
      // It has not ended meanwhile: the race took place.
      expect(await daemon.inspect("swap", "{{.State.Running}}")).toBe("true");
    } finally {
      await daemon.berth("rm", "-f", "swap");
      await daemon.berth("volume", "rm", "field");
    }
  });
}

beforeAll(async () => {
  await done("run", "--rm", "busybox", "true");
});

test("a mount point that is swapped for a link while it is mounted on leads nowhere out (CVE-2021-30465, CVE-2024-45310)", async () => {
  await withSwapper(async (victim) => {
    let mounted = 0;
    const look = `ls -a ${victim} 2>/dev/null; grep -c ' /f/a/d/made/[xyz] ' /proc/self/mountinfo`;
    for (let i = 0; i < 40; i++) {
      const mounts = [
        "-v",
        "field:/f",
        "-v",
        "other:/f/a/d/made/x",
        "--tmpfs",
        "/f/a/d/made/y",
        "-v",
        `${import.meta.path}:/f/a/d/made/z`,
      ];
      const { status, out, err } = await daemon.berth(
        "run",
        "--rm",
        ...mounts,
        "busybox",
        "sh",
        "-c",
        look,
      );
      expect(err).not.toContain("internal error");
      if (status === 0) mounted++;
      expect(out).not.toContain("secret");
      expect(readdirSync(victim), err).toEqual(["secret"]);
    }
    // Some of them won, so that it was not one error all the time.
    expect(mounted).toBeGreaterThan(0);
  });
}, 120_000);

test("a volume whose mount point is swapped between create and start is copied into inside of the root (CVE-2026-42306)", async () => {
  await withSwapper(async (victim) => {
    const tar = Bun.spawnSync(["tar", "-C", "/etc", "-c", "hostname"]).stdout;
    await daemon.berth(
      "create",
      "--name",
      "target",
      "-v",
      "field:/f",
      "-v",
      "inner:/f/a/d/inner",
      "busybox",
      "sleep",
      "1000",
    );
    for (let i = 0; i < 25; i++) {
      await daemon.berthWith({ stdin: tar }, "cp", "-", "target:/f/a/d/inner");
      await daemon.berthWith({ stdin: tar }, "cp", "-", "target:/f/a/d");
      const out = await daemon.berth("cp", "target:/f/a", "-");
      expect(out.out).not.toContain("of the host");
      expect(readdirSync(victim)).toEqual(["secret"]);
    }
    await daemon.berth("rm", "-f", "target");
  });
}, 120_000);

test("cp out of a running container that swaps its directories reads nothing of the host (CVE-2018-15664, CVE-2019-10152)", async () => {
  await withSwapper(async () => {
    for (let i = 0; i < 40; i++) {
      for (const path of ["swap:/f/a/secret", "swap:/f/a", "swap:/f/a/."])
        expect((await daemon.berth("cp", path, "-")).out).not.toContain("of the host");
      expect((await daemon.berth("cp", "-L", "swap:/f/a", "-")).out).not.toContain("of the host");
    }
  });
}, 120_000);

test("a volume that is exported while a directory becomes a link has nothing of the host (CVE-2023-0778)", async () => {
  await withSwapper(async () => {
    const exports = [
      ["volume", "export", "field"],
      ["volume", "cp", "field:/a/secret", "-"],
      ["volume", "cp", "field:/a", "-"],
      ["export", "swap"],
    ];
    for (let i = 0; i < 15; i++)
      for (const words of exports) {
        const { out } = await daemon.berth(...words);
        expect(out, words.join(" ")).not.toContain("of the host");
      }
  });
}, 120_000);

test("copy-up of an image's directory behind links reads nothing of the host and overwrites nothing (CVE-2022-23648, CVE-2020-1726)", async () => {
  await withVictim(async (victim) => {
    const dockerfile = `FROM busybox\nRUN mkdir -p /d && ln -s ${victim} /d/l && ln -s ../../../../../../../..${victim} /up\nVOLUME /up /d/l\n`;
    await daemon.berthWith({ stdin: dockerfile }, "build", "-q", "-t", "copyup", "-");
    for (const path of ["/up", "/d/l", "/up/../up", "/d/l/."]) {
      const flags = ["-v", `filled:${path}`];
      const { out } = await daemon.berth(
        "run",
        "--rm",
        ...flags,
        "copyup",
        "sh",
        "-c",
        `cat ${path}/secret ${path}/*`,
      );
      expect(out).toBe("");
      expect((await daemon.berth("volume", "export", "filled")).out).not.toContain("of the host");
      await daemon.berth("volume", "rm", "-f", "filled");
    }
    // A volume that has something keeps it.
    await done("run", "--rm", "-v", "kept:/x", "busybox", "sh", "-c", "echo mine > /x/passwd");
    expect(await done("run", "--rm", "-v", "kept:/etc", "busybox", "cat", "/etc/passwd")).toBe(
      "mine",
    );
  });
});

test("a cache mount whose directories another build swaps leads neither build out (CVE-2024-23651, CVE-2024-9675)", async () => {
  await withVictim(async (victim) => {
    const mount = "--mount=type=cache,id=shared,target=/c";
    const swap = `FROM busybox\nRUN ${mount} mkdir -p /c/a/d; i=0; while [ $i -lt 1500 ]; do mv /c/a /c/b && ln -s ${victim} /c/a && rm /c/a && mv /c/b /c/a; i=$((i+1)); done\n`;
    const build = (text: string, ...args: string[]) =>
      daemon.berthWith({ stdin: text }, "build", "-q", "--no-cache", ...args, "-");
    const swapping = build(swap);
    for (let i = 0; i < 8; i++) {
      const { err } = await build(
        `FROM busybox\nRUN --mount=type=cache,id=shared,target=/c,source=a ls /c /c/d; echo x > /c/escaped${i}; ! test -e /c/secret\n`,
      );
      expect(err).not.toContain("internal error");
      expect(readdirSync(victim)).toEqual(["secret"]);
    }
    expect((await swapping).status).toBe(0);
    for (const id of ["../../../../../../tmp/bt-cache", "/etc", "..", "a/../../b"])
      await build(
        `FROM busybox\nRUN --mount=type=cache,id=${id},target=/c echo x > /c/bt-escaped\n`,
      );
    expect(existsSync("/etc/bt-escaped") || existsSync("/tmp/bt-cache")).toBe(false);
  });
}, 120_000);

test("the sources of a build's mounts stay in their tree, by links and by .. (CVE-2024-1753, CVE-2024-11218)", async () => {
  await withVictim(async (victim) => {
    const build = (text: string) =>
      daemon.berthWith({ stdin: text }, "build", "-q", "--no-cache", "-");
    const base = `FROM busybox AS evil\nRUN ln -s / /root-link && ln -s ${victim} /l && ln -s ../../../../../../../..${victim} /up\n`;
    for (const source of ["/l", "/up", "../../../../../..", "/root-link", "/l/../..", victim])
      for (const more of ["", ",rw", ",rslave", ",rshared", ",bind-propagation=rshared"]) {
        const { status, out, err } = await build(
          `${base}FROM busybox\nRUN --mount=type=bind,from=evil,source=${source},target=/m${more} cat /m/secret /m${victim}/secret && exit 7; echo x > /m/escaped; true\n`,
        );
        expect(`${status} ${out}${err}`).not.toContain("of the host");
        expect(err).not.toContain("exit code: 7");
        expect(readdirSync(victim)).toEqual(["secret"]);
      }
  });
}, 120_000);

test("what a build makes for its mounts goes, and nothing else of the image with it (CVE-2024-23652)", async () => {
  await withVictim(async (victim) => {
    const text = `FROM busybox\nRUN mkdir -p /keep/full && echo stays > /keep/full/f && mkdir /inside && ln -s /inside /away\nRUN --mount=type=cache,target=/new/deep/m --mount=type=tmpfs,target=/keep/full --mount=type=cache,target=/away/made rm -rf /new/deep/x; mkdir -p /new/own; rm -f /away; ln -s ${victim} /away\nRUN cat /keep/full/f && ls -d /new/own\n`;
    const built = await daemon.berthWith({ stdin: text }, "build", "-q", "-t", "stubs", "-");
    expect([built.status, built.err]).toEqual([0, ""]);
    const look = "cat /keep/full/f; ls -d /new/own; ls /new /inside | sort";
    expect(await done("run", "--rm", "stubs", "sh", "-c", look)).toBe(
      "stays\n/new/own\n\n/inside:\n/new:\nown",
    );
  });
});
