/** Security options: seen in the process that they are for. */
import { afterAll, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const scratch = scratchDirectory("bt-options-");
const daemon = daemonOfFile(["--no-new-privileges"]);
afterAll(() => rmSync(scratch, { recursive: true }));

const flag = ["grep", "NoNewPrivs", "/proc/self/status"];

test("no_new_privs is the daemon's default, which a container may say otherwise of, in every spelling", async () => {
  const of = async (...options: string[]) =>
    (await daemon.docker("run", "--rm", ...options, "busybox", ...flag)).out.trim().slice(-1);
  expect(await of()).toBe("1");
  for (const option of ["no-new-privileges=false", "no-new-privileges:false"])
    expect(await of("--security-opt", option)).toBe("0");
  for (const option of ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"])
    expect(await of("--security-opt", option)).toBe("1");
  await daemon.berth("run", "-d", "--name", "default", "busybox", "sleep", "1000");
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "may",
    "--security-opt",
    "no-new-privileges=false",
    "busybox",
    "sleep",
    "1000",
  );
  expect((await daemon.berth("exec", "default", ...flag)).out).toContain("1");
  expect((await daemon.berth("exec", "may", ...flag)).out).toContain("0");
  await daemon.berth("rm", "-f", "default", "may");
  for (const option of [
    "no-new-privileges=perhaps",
    "nothing",
    "nothing=x",
    "systempaths=confined",
  ])
    expect(
      (await daemon.berth("run", "--rm", "--security-opt", option, "busybox", "true")).err,
    ).toMatch(/invalid --security-opt/i);
});

test("a profile with flags is in force, one that needs an agent is refused", async () => {
  const path = `${scratch}/profile.json`;
  const profile = (more: object) =>
    writeFileSync(
      path,
      JSON.stringify({
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64"],
        ...more,
      }),
    );
  const run = (separator: string) =>
    daemon.docker(
      "run",
      "--rm",
      "--security-opt",
      `seccomp${separator}${path}`,
      "busybox",
      "sh",
      "-c",
      "grep Seccomp: /proc/self/status; mkdir /x; echo $?",
    );
  const errno = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }];
  profile({
    flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    syscalls: errno,
  });
  const done = await run("=");
  expect([done.out, done.err]).toEqual([
    "Seccomp:\t2\n1\n",
    expect.stringMatching(/not supported/),
  ]);
  profile({ syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }] });
  const refused = await run("=");
  expect([refused.status, refused.err]).toEqual([
    125,
    expect.stringContaining("SCMP_ACT_NOTIFY and listenerPath hand system calls to an agent"),
  ]);
});
