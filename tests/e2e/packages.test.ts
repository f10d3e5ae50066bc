/** The .deb and the npm package: installed as their users do, they run. */
import { afterAll, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { scratchDirectory } from "../kits/scratch.ts";

const root = join(import.meta.dir, "../..");
const scratch = scratchDirectory("berth-packages-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function run(argv: readonly string[], cwd = scratch) {
  const child = Bun.spawn([...argv], { cwd, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

async function make(kind: "deb" | "npm"): Promise<string> {
  const made = await run([process.execPath, "tools/package.ts", kind, scratch, "--fast"], root);
  expect([made.err, made.status]).toEqual(["", 0]);
  return made.out.trim().split("\n").at(-1) ?? "";
}

test.skipIf(Bun.which("dpkg-deb") === null)(
  "the .deb is installed, upgraded and purged by dpkg",
  async () => {
    const path = await make("deb");
    // A root with dpkg's database and busybox, in which the package's scripts run.
    const host = `${scratch}/host`;
    for (const directory of ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "bin", "dev"])
      mkdirSync(`${host}/${directory}`, { recursive: true });
    for (const file of [
      "var/lib/dpkg/status",
      "var/lib/dpkg/available",
      "etc/passwd",
      "etc/group",
      "dev/null",
    ])
      writeFileSync(`${host}/${file}`, "");
    copyFileSync("/bin/busybox", `${host}/bin/busybox`);
    for (const applet of ["sh", "grep", "sed"]) symlinkSync("busybox", `${host}/bin/${applet}`);
    const program = (name: string, script: string) =>
      writeFileSync(`${host}/bin/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    program("groupadd", 'echo "$2:x:999:" >> /etc/group');
    program("groupdel", 'sed -i "/^$1:/d" /etc/group');
    const group = () => readFileSync(`${host}/etc/group`, "utf8");
    const dpkg = (...args: string[]) =>
      run(["dpkg", `--root=${host}`, "--force-depends", "--force-bad-path", ...args]);
    const berth = `${host}/usr/bin/berth`;
    expect(await dpkg("--install", path)).toMatchObject({ status: 0 });
    expect((await run([berth, "--version"])).out).toMatch(/^berth version \d/);
    for (const file of [
      "usr/share/man/man1/berth-run.1",
      "usr/lib/systemd/system/berth.socket",
      "usr/lib/sysusers.d/berth.conf",
      "usr/share/bash-completion/completions/berth",
    ])
      expect([file, lstatSync(`${host}/${file}`).uid]).toEqual([file, 0]);
    expect(await dpkg("--install", path)).toMatchObject({ status: 0 });
    expect(group()).toBe("berth:x:999:\n");
    expect((await run(["dpkg-deb", "--field", path, "Depends"])).out).toContain("libc6");
    expect(await dpkg("--purge", "berth")).toMatchObject({ status: 0 });
    expect(group()).toBe("");
    expect(existsSync(berth)).toBe(false);
  },
);

test.skipIf(Bun.which("npm") === null)(
  "the npm package is installed without a registry, and runs",
  async () => {
    const path = await make("npm");
    const home = `${scratch}/home`;
    const done = await run([
      "npm",
      "install",
      "--offline",
      "--no-audit",
      "--no-fund",
      "--prefix",
      home,
      path,
    ]);
    expect([done.status, done.err]).toEqual([0, ""]);
    const { out } = await run([`${home}/node_modules/.bin/berth`, "run", "--help"]);
    expect(out).toContain("Usage:  berth run ");
  },
);
