/** Attacks on the host and on neighbours from inside of a container that is as it is by default. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { compiled, descriptorThief } from "../../kits/attacker.ts";
import { daemonOfFile, TestDaemon } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const daemon = daemonOfFile();

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

test("inheritable and ambient capabilities are empty at run and at exec, but for what a user that is not root was added (CVE-2022-24769, CVE-2022-27649)", async () => {
  const show = ["grep", "-E", "^Cap(Inh|Amb|Eff)", "/proc/self/status"];
  await done("run", "-d", "--name", "caps", "--cap-add", "NET_ADMIN", "busybox", "sleep", "1000");
  const none = "0000000000000000";
  for (const out of [
    await done("run", "--rm", "-u", "5:6", "busybox", ...show),
    await done("run", "--rm", "-u", "5:6", "--privileged", "busybox", ...show),
    await done("run", "--rm", "-u", "5:6", "--cap-drop", "CHOWN", "busybox", ...show),
  ])
    expect(out).toBe(`CapInh:\t${none}\nCapEff:\t${none}\nCapAmb:\t${none}`);
  const added = "0000000000001000";
  for (const out of [
    await done("exec", "-u", "5", "caps", ...show),
    await done("run", "--rm", "-u", "5:6", "--cap-add", "NET_ADMIN", "busybox", ...show),
    await done(
      "run",
      "--rm",
      "-u",
      "5",
      "--cap-drop=ALL",
      "--cap-add=NET_ADMIN",
      "busybox",
      ...show,
    ),
    // A program of a program has it, too; a new user namespace or setuid root is not needed for it.
    await done(
      "run",
      "--rm",
      "-u",
      "5",
      "--cap-add=NET_ADMIN",
      "busybox",
      "sh",
      "-c",
      show.join(" ").replace("^Cap(Inh|Amb|Eff)", "'^Cap(Inh|Amb|Eff)'"),
    ),
  ])
    expect(out).toBe(`CapInh:\t${added}\nCapEff:\t${added}\nCapAmb:\t${added}`);
  expect(
    await done(
      "run",
      "--rm",
      "-u",
      "5",
      "--cap-add=NET_ADMIN",
      "busybox",
      "ip",
      "link",
      "set",
      "lo",
      "mtu",
      "1400",
    ),
  ).toBe("");
  for (const out of [
    await done("run", "--rm", "--privileged", "busybox", ...show),
    await done("exec", "--privileged", "caps", ...show),
    await done("exec", "caps", ...show),
  ])
    expect(out).toMatch(new RegExp(`^CapInh:\t${none}\nCapEff:\t0000[0-9a-f]+\nCapAmb:\t${none}$`));
  // A program with inheritable file capabilities gets nothing of them.
  const { directory } = compiled(
    "caps",
    '#include <stdio.h>\n#include <stdlib.h>\nint main(void){return system("grep CapPrm /proc/self/status");}',
  );
  expect(
    Bun.spawnSync([
      "python3",
      "-c",
      `import os,struct; os.setxattr("${directory}/caps", "security.capability", struct.pack("<5I", 0x02000001, 0, 0xa80425fb, 0, 0))`,
    ]).exitCode,
  ).toBe(0);
  expect(
    await done("run", "--rm", "-u", "5", "-v", `${directory}:/attack`, "busybox", "/attack/caps"),
  ).toBe(`CapPrm:\t${none}`);
  rmSync(directory, { recursive: true });
  await done("rm", "-f", "caps");
});

test("the groups of a user are its own, with and without a named group, at run and at exec (CVE-2022-36109)", async () => {
  const dockerfile =
    "FROM busybox\nRUN echo 'app:x:7:8::/:/bin/sh' >> /etc/passwd && echo 'more:x:77:app' >> /etc/group && echo 'eight:x:8:' >> /etc/group\n";
  expect(
    (await daemon.berthWith({ stdin: dockerfile }, "build", "-q", "-t", "groups", "-")).status,
  ).toBe(0);
  await done("run", "-d", "--name", "grp", "groups", "sleep", "1000");
  const show = ["sh", "-c", "grep ^Groups /proc/self/status | cut -f2"];
  for (const [user, groups] of [
    ["app", "8 77"],
    ["7", "8 77"],
    ["app:5", "5"],
    ["7:8", "8"],
    ["9", "0"],
    ["9:9", "9"],
  ] as const) {
    expect(await done("run", "--rm", "-u", user, "groups", ...show), user).toBe(groups);
    expect(await done("exec", "-u", user, "grp", ...show), user).toBe(groups);
  }
  await done("rm", "-f", "grp");
});

test("sockets of supervisors are files of root's alone; nobody meets one on the host's network (CVE-2020-15257)", async () => {
  await done("run", "-d", "--name", "sock", "busybox", "sleep", "1000");
  const run = `${daemon.directory}/exec/c`;
  const [id = ""] = Array.from(new Bun.Glob("*").scanSync({ cwd: run, onlyFiles: false }));
  const { mode } = statSync(`${run}/${id}/shim.sock`);
  expect((mode & 0o777).toString(8)).toBe("600");
  expect((statSync(run).mode & 0o777).toString(8)).toBe("700");
  for (const part of [
    "data/containers",
    "data/content",
    "data/volumes",
    "data/overlay2/containers",
  ])
    expect([part, statSync(`${daemon.directory}/${part}`).mode & 0o005]).toEqual([
      part,
      part === "data/volumes" ? 0o001 : 0,
    ]);
  const abstract = await done(
    "run",
    "--rm",
    "--network",
    "host",
    "busybox",
    "sh",
    "-c",
    "grep -c '@.*berth' /proc/net/unix || true",
  );
  expect(abstract).toBe("0");
  await done("rm", "-f", "sock");
});

test("the kernel's crypto sockets are refused by the default profile, 32-bit socketcall programs are not (CVE-2026-31431)", async () => {
  const source = `#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  for (int family = 1; family < 46; family++) {
    int fd = (int)syscall(SYS_socket, family, SOCK_SEQPACKET, 0);
    if (family == 38 || family == 40 || family == 1) printf("%d:%s\\n", family, fd < 0 ? strerror(errno) : "open");
    if (fd >= 0) close(fd);
  }
  return 0;
}`;
  const { directory, path } = compiled("alg", source);
  expect(await done("run", "--rm", "-v", `${directory}:/attack`, "busybox", path)).toBe(
    "1:open\n38:Operation not permitted\n40:Operation not permitted",
  );
  // It is the profile: without one the kernel itself answers.
  expect(
    await done(
      "run",
      "--rm",
      "--security-opt",
      "seccomp=unconfined",
      "-v",
      `${directory}:/attack`,
      "busybox",
      path,
    ),
  ).not.toContain("38:Operation not permitted");
  rmSync(directory, { recursive: true });
});

test("a process on its way into a container lends it no descriptor, not even to one that may trace (CVE-2016-9962)", async () => {
  const { directory, path } = compiled("thief", descriptorThief);
  const place = ["-v", `${directory}:/attack:ro`, "busybox", path];
  for (const flags of [
    // Who may trace sees the descriptors from the first moment on; others may look once the process has no more rights than they.
    ["--userns", "host", "--cap-add", "SYS_PTRACE"],
    ["--userns", "host", "--security-opt", "no-new-privileges"],
    ["--userns", "auto", "--cap-add", "SYS_PTRACE"],
  ]) {
    await done("run", "-d", "--name", "thief", ...flags, ...place);
    while (!(await done("logs", "thief")).includes("looking")) await Bun.sleep(10);
    for (let i = 0; i < 40; i++) await done("exec", "thief", "true");
    expect([...flags, await done("logs", "thief")]).toEqual([...flags, "looking"]);
    await done("rm", "-f", "thief");
  }
  rmSync(directory, { recursive: true });
}, 60_000);

test("the API is out of reach of a container: no socket, no port, no abstract name", async () => {
  await done(
    "run",
    "--rm",
    "busybox",
    "sh",
    "-c",
    "! find / -xdev -name 'berth*.sock' -o -xdev -name docker.sock | grep .",
  );
  const gateway = await done(
    "network",
    "inspect",
    "-f",
    "{{(index .IPAM.Config 0).Gateway}}",
    "bridge",
  );
  const scan = `for p in 2375 2376 4243 5000 ${[80, 443].join(" ")}; do nc -w1 ${gateway} $p </dev/null 2>/dev/null && echo open $p; done; true`;
  expect(await done("run", "--rm", "busybox", "sh", "-c", scan)).toBe("");
  // Even with the daemon's descriptors in sight, the host's processes are not.
  expect(await done("run", "--rm", "busybox", "sh", "-c", "ls /proc | grep -c '^[0-9]'")).toMatch(
    /^[1-4]$/,
  );
  expect(statSync(daemon.socket).mode & 0o007).toBe(0);
});

/** Asks until a process is known. */
async function until<T extends { Pid: number }>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 500; tries++) {
    const answer = await ask();
    if (answer.Pid > 0) return answer;
    await Bun.sleep(20);
  }
  throw new Error("the exec has no process");
}

test("output without an end, resizes without an end, and execs that are dropped cost no memory (CVE-2022-31030, CVE-2022-23471, CVE-2025-64329)", async () => {
  await done("run", "-d", "--name", "flood", "busybox", "sleep", "1000");
  const memory = () =>
    Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]);
  const round = async () => {
    const { text } = await daemon.api("POST", "/containers/flood/exec", {
      Cmd: ["sh", "-c", "head -c 20000000 /dev/zero"],
      AttachStdout: true,
      Tty: true,
    });
    const { Id } = JSON.parse(text) as { Id: string };
    const start = fetch(`http://x/exec/${Id}/start`, {
      method: "POST",
      unix: daemon.socket,
      headers: { "Content-Type": "application/json" },
      body: '{"Tty":true}',
    });
    for (let i = 1; i < 40; i++) await daemon.api("POST", `/exec/${Id}/resize?h=${i}&w=${i}`);
    // Attached and dropped, unread.
    await (await start).body?.cancel();
  };
  for (let i = 0; i < 10; i++) await round();
  const before = memory();
  for (let i = 0; i < 40; i++) await round();
  expect(memory() - before).toBeLessThan(60 << 10);
  // Whoever is attached and reads nothing keeps the program waiting, and nobody gathers what it has to say.
  const deaf = connect(daemon.socket);
  const exec = await daemon.api("POST", "/containers/flood/exec", {
    ...{ Cmd: ["sh", "-c", "exec head -c 400000000 /dev/zero"], AttachStdout: true },
  });
  const { Id } = JSON.parse(exec.text) as { Id: string };
  const head = `POST /exec/${Id}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
  deaf.write(`${head}Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}`);
  const { Pid } = await until(async () => {
    const { text } = await daemon.api("GET", `/exec/${Id}/json`);
    return JSON.parse(text) as { Pid: number };
  });
  const written = () =>
    Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${Pid}/io`, "utf8"))?.[1] ?? 0);
  // It writes until it has to wait.
  for (let last = -1; written() !== last; await Bun.sleep(500)) last = written();
  expect(written()).toBeGreaterThan(0);
  expect(written()).toBeLessThan(100_000_000);
  expect(memory() - before).toBeLessThan(60 << 10);
  deaf.destroy();
  await done("rm", "-f", "flood");
}, 120_000);

test("addresses of sources are no options and no commands, for git and over HTTP", async () => {
  const mark = "/tmp/bt-injected";
  const attacks = [
    `git://127.0.0.1:9/--upload-pack=touch${"${IFS}"}${mark}`,
    `ssh://-oProxyCommand=touch%20${mark}/x.git`,
    `ssh://-oProxyCommand=touch${"${IFS}"}${mark}/x`,
    `git@-oProxyCommand=touch ${mark}:x.git`,
    `http://127.0.0.1:9/x.git#--upload-pack=touch ${mark}`,
    `http://127.0.0.1:9/x.git#main:--x;touch ${mark}`,
    `http://127.0.0.1:9/$(touch ${mark}).git`,
    `http://127.0.0.1:9/\`touch ${mark}\`.git`,
    `ext::sh -c touch% ${mark}`,
    `git+ext::sh -c touch% ${mark}.git`,
    `file:///etc/passwd`,
    `file:///tmp/x.git`,
    `http://127.0.0.1:9/\r\nX-Injected: 1`,
  ];
  for (const address of attacks) {
    const remote = await daemon.api("POST", `/build?remote=${encodeURIComponent(address)}`);
    expect([address, remote.status >= 400 || remote.text.includes('"error"')]).toEqual([
      address,
      true,
    ]);
    const added = await daemon.berthWith(
      { stdin: `FROM busybox\nADD ${JSON.stringify([address, "/x"])}\n` },
      "build",
      "-q",
      "-",
    );
    expect([address, added.status]).toEqual([address, 1]);
    expect(added.err).not.toContain("internal error");
    const imported = await daemon.api(
      "POST",
      `/images/create?fromSrc=${encodeURIComponent(address)}`,
    );
    expect([address, imported.status >= 400 || imported.text.includes('"error"')]).toEqual([
      address,
      true,
    ]);
    expect([address, existsSync(mark)]).toEqual([address, false]);
  }
});

test("a name of a branch is no option of git's, where a repository of the host's may be fetched", async () => {
  const directory = scratchDirectory("bt-allowed-");
  const mark = `${directory}/injected`;
  const repo = `${directory}/repo.git`;
  mkdirSync(repo);
  writeFileSync(`${repo}/Dockerfile`, "FROM busybox\n");
  const as = ["-c", "user.name=t", "-c", "user.email=t@t"];
  for (const words of [
    ["init", "-q", "-b", "main"],
    ["add", "."],
    [...as, "commit", "-qm", "x"],
  ])
    expect(Bun.spawnSync(["git", ...words], { cwd: repo }).exitCode).toBe(0);
  const other = await new TestDaemon(["--allow-git-directory", directory]).start();
  try {
    const build = (ref: string) => other.berth("build", "-q", `file://${repo}#${ref}`);
    expect((await build("main")).status).toBe(0);
    for (const ref of [`--upload-pack=touch ${mark};git-upload-pack`, "--output=/x", "-h"]) {
      const { status, err } = await build(ref);
      expect([ref, status, existsSync(mark)]).toEqual([ref, 1, false]);
      expect(err).toContain("is no address of a repository");
    }
  } finally {
    await other.destroy();
    rmSync(directory, { recursive: true });
  }
});

test("a repository cannot run programs of the host's or reach out by its links, submodules, hooks and attributes (CVE-2026-33748)", async () => {
  const work = scratchDirectory("bt-git-");
  const mark = `${work}/pwned`;
  const repo = `${work}/repo.git`;
  const git = (...args: string[]) =>
    Bun.spawnSync(
      [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "protocol.file.allow=always",
        ...args,
      ],
      { cwd: repo },
    );
  mkdirSync(repo);
  git("init", "-q", "-b", "main");
  mkdirSync(`${repo}/real`);
  writeFileSync(`${repo}/real/Dockerfile`, "FROM busybox\nCOPY . /c/\n");
  Bun.spawnSync(["ln", "-s", "/etc", `${repo}/abs`]);
  Bun.spawnSync(["ln", "-s", "../../../../../../../../etc", `${repo}/rel`]);
  Bun.spawnSync(["ln", "-s", "/etc/shadow", `${repo}/real/shadow`]);
  Bun.spawnSync(["ln", "-s", ".git", `${repo}/own`]);
  writeFileSync(`${repo}/.gitattributes`, "* filter=evil diff=evil\n");
  git("add", ".");
  git("commit", "-qm", "x");
  git("tag", "clean");
  const commit = git("rev-parse", "HEAD").stdout.toString().trim();
  for (const [tag, url] of [
    ["program", `ext::sh -c touch% ${mark}`],
    ["file", `file://${work}/repo.git`],
    ["update", `${work}/repo.git\n\tupdate = !touch ${mark}`],
  ] as const) {
    git("checkout", "-q", "clean");
    writeFileSync(`${repo}/.gitmodules`, `[submodule "m"]\n\tpath = m\n\turl = ${url}\n`);
    git("add", ".");
    git("update-index", "--add", "--cacheinfo", `160000,${commit},m`);
    git("commit", "-qm", tag);
    git("tag", tag);
  }
  // A path that git writes with a carriage return and reads without one, where a link leads to the hooks (CVE-2025-48384).
  const hooks = `${work}/hooks.git`;
  mkdirSync(hooks);
  const inHooks = (...args: string[]) =>
    Bun.spawnSync(["git", "-c", "user.name=t", "-c", "user.email=t@t", ...args], { cwd: hooks });
  inHooks("init", "-q", "-b", "main");
  writeFileSync(`${hooks}/post-checkout`, `#!/bin/sh\ntouch ${mark}\n`, { mode: 0o755 });
  inHooks("add", ".");
  inHooks("commit", "-qm", "x");
  const hook = inHooks("rev-parse", "HEAD").stdout.toString().trim();
  const port = 21_000 + (process.pid % 20_000);
  git("checkout", "-q", "clean");
  const address = `git://127.0.0.1:${port}/hooks.git`;
  writeFileSync(`${repo}/.gitmodules`, `[submodule "m"]\n\tpath = "m\r"\n\turl = ${address}\n`);
  Bun.spawnSync(["ln", "-s", ".git/modules/m/hooks", `${repo}/m`]);
  git("add", ".");
  git("update-index", "--add", "--cacheinfo", `160000,${hook},m\r`);
  git("commit", "-qm", "carriage");
  git("tag", "carriage");
  const served = Bun.spawn(
    [
      "git",
      "daemon",
      "--listen=127.0.0.1",
      `--port=${port}`,
      `--base-path=${work}`,
      "--export-all",
      "--reuseaddr",
    ],
    { stdout: "ignore", stderr: "ignore" },
  );
  try {
    const url = `git://127.0.0.1:${port}/repo.git`;
    while (Bun.spawnSync(["git", "ls-remote", url]).exitCode !== 0) await Bun.sleep(20);
    const inside = ["abs", "rel", "own", "..", "real/../../..", "real/../abs"];
    for (const [ref, directories] of [
      ["program", ["real", "m"]],
      ["file", ["real", "m"]],
      ["update", ["real", "m"]],
      ["clean", inside],
    ] as const)
      for (const directory of directories) {
        const { status, err } = await daemon.berth("build", "-q", `${url}#${ref}:${directory}`);
        expect([ref, directory, status]).toEqual([ref, directory, 1]);
        expect(err).not.toContain("internal error");
      }
    expect((await daemon.berth("build", "-q", "-t", "fromgit", `${url}#clean:real`)).status).toBe(
      0,
    );
    // Whatever git thinks of that path, nothing of it runs.
    await daemon.berth("build", "-q", `${url}#carriage:real`);
    expect(existsSync(mark)).toBe(false);
    // The link is copied as a link.
    expect(await done("run", "--rm", "fromgit", "readlink", "/c/shadow")).toBe("/etc/shadow");
    expect(existsSync(mark)).toBe(false);
  } finally {
    served.kill();
    await served.exited;
    rmSync(work, { recursive: true });
  }
}, 120_000);

test("the cache of builds minds every instruction, and lends nothing of a pulled image to FROM scratch (CVE-2024-24557)", async () => {
  const build = async (text: string) => {
    const { status, out } = await daemon.berthWith({ stdin: text }, "build", "-q", "-");
    expect(status).toBe(0);
    return out.trim();
  };
  const base = "FROM busybox\n";
  const variants = [
    "",
    "HEALTHCHECK CMD true\n",
    "HEALTHCHECK CMD false\n",
    "HEALTHCHECK --interval=9s CMD true\n",
    "ONBUILD RUN true\n",
    "ONBUILD RUN false\n",
    "STOPSIGNAL 9\n",
    'SHELL ["/bin/ash", "-c"]\n',
    "USER 5\n",
    "EXPOSE 5\n",
    "VOLUME /v\n",
    "LABEL a=b\n",
    "WORKDIR /w\n",
    "ENV a=b\n",
    "ENTRYPOINT x\n",
    "CMD y\n",
  ];
  const ids: string[] = [];
  for (const variant of variants) ids.push(await build(base + variant));
  expect(new Set(ids).size).toBe(variants.length);
  // An image with the history of a step that another one is about to do.
  const forged = "FROM scratch\nCOPY --from=busybox /bin/busybox /evil\n";
  await build(forged);
  const honest = await build(
    'FROM scratch\nCOPY --from=busybox /bin/busybox /bin/ls\nENTRYPOINT ["/bin/ls", "/"]\n',
  );
  expect(await done("run", "--rm", honest)).not.toContain("evil");
});

test("digests are checked before they are parts of paths or addresses (CVE-2024-3727)", async () => {
  for (const digest of [
    "sha256:../../../../etc/passwd",
    "sha256:..",
    "sha256:",
    `sha256:${"a".repeat(63)}/`,
    "md5:../../x",
    `sha256:${"A".repeat(64)}`,
    "sha512:x/../../y",
  ])
    for (const path of [
      `/images/busybox@${encodeURIComponent(digest)}/json`,
      `/images/${encodeURIComponent(digest)}/json`,
      `/distribution/127.0.0.1:9/x@${encodeURIComponent(digest)}/json`,
    ]) {
      const { status, text } = await daemon.api("GET", path);
      expect([path, status >= 400 && status < 500, text.includes("root:")]).toEqual([
        path,
        true,
        false,
      ]);
    }
});
