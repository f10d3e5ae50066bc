/** The command line as a person at a terminal, a script and a stranger's directory meet it. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");

for (const client of ["berth", "docker"] as const) {
  const terminal = (...args: string[]) =>
    client === "berth" ? daemon.onTerminal(...args) : daemon.dockerOnTerminal(...args);

  test(`${client}: a shell on a terminal knows its size, echoes, and gives its status`, async () => {
    const session = terminal("run", "--rm", "-it", "busybox", "sh");
    await session.see("# ");
    session.type("stty size; tty\n");
    await session.see("30 100");
    await session.see("/dev/pts/0");
    session.resize(80, 25);
    await Bun.sleep(100);
    session.type("stty size\n");
    await session.see("25 80");
    session.type("sleep 100\n");
    await Bun.sleep(100);
    session.type("\x03");
    session.type("exit 7\n");
    expect(await session.ended()).toBe(7);
  });

  test(`${client}: detach keys leave the container running, attach comes back to it`, async () => {
    const name = `term-${client}`;
    const session = terminal("run", "-it", "--name", name, "busybox", "sh");
    await session.see("# ");
    session.type("echo one$((1+1))\n");
    await session.see("one2");
    session.type("\x10\x11");
    expect(await session.ended()).toBe(0);
    expect((await daemon.berth("ps", "-q", "-f", `name=${name}`)).out).not.toBe("");
    const again = terminal("attach", "--detach-keys", "ctrl-a,x", name);
    await Bun.sleep(200);
    again.type("echo three$((1+1))\n");
    await again.see("three2");
    again.type("\x01x");
    await again.see("read escape sequence");
    expect(await again.ended()).toBe(1);
    const left = terminal("exec", "-it", name, "sh");
    await left.see("# ");
    left.type("echo four$((1+1))\n");
    await left.see("four2");
    left.type("\x10\x11");
    await left.see("read escape sequence");
    expect(await left.ended()).toBe(1);
    const exec = terminal("exec", "-it", name, "sh", "-c", "stty size; tty; exit 9");
    await exec.see("30 100");
    expect(await exec.ended()).toBe(9);
    expect((await daemon.berth("rm", "-f", name)).status).toBe(0);
  });
}

test("signals are passed on to the container", async () => {
  const script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
  const session = daemon.onTerminal("run", "--rm", "busybox", "sh", "-c", script);
  await session.see("ready");
  session.signal("SIGTERM");
  await session.see("got it");
  expect(await session.ended()).toBe(3);
});

test("three signals end the command itself, whatever the container does with them", async () => {
  const script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
  const session = daemon.onTerminal("run", "--rm", "--name", "deaf", "busybox", "sh", "-c", script);
  await session.see("ready");
  for (let i = 0; i < 3; i++) {
    session.signal("SIGTERM");
    await Bun.sleep(50);
  }
  expect(await session.ended()).toBe(1);
  expect(session.shown).toContain("forcefully exiting");
  expect((await daemon.berth("ps", "-q", "-f", "name=deaf")).out).not.toBe("");
  await daemon.berth("rm", "-f", "deaf");
});

test("a reader that goes away ends the command, not the daemon", async () => {
  const done = Bun.spawnSync(
    ["sh", "-c", `${executable} run --rm busybox sh -c 'yes | head -c 4000000' | head -n 1`],
    { env: { PATH: process.env.PATH ?? "", BERTH_HOST: `unix://${daemon.socket}` } },
  );
  expect(done.stdout.toString()).toBe("y\n");
  const deadline = Date.now() + 40_000;
  while ((await daemon.berth("ps", "-aq")).out !== "" && Date.now() < deadline) await Bun.sleep(20);
  expect((await daemon.berth("ps", "-aq")).out).toBe("");
});

test("--cidfile holds the id, and one that exists is not overwritten", async () => {
  const file = join(daemon.directory, "cid");
  const created = await daemon.berth("create", "--cidfile", file, "busybox", "true");
  expect(readFileSync(file, "utf8")).toBe(created.out.trim());
  const again = await daemon.berth("run", "--rm", "--cidfile", file, "busybox", "true");
  expect(again.status).not.toBe(0);
  expect(again.err).toContain("container ID file found");
  expect((await daemon.berth("ps", "-aq")).out.trim().split("\n")).toHaveLength(1);
});

test("what lies in the current directory is neither loaded nor believed", async () => {
  const cwd = join(daemon.directory, "stranger");
  const mark = join(cwd, "mark");
  mkdirSync(cwd);
  writeFileSync(join(cwd, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
  writeFileSync(join(cwd, "preload.ts"), `require("node:fs").writeFileSync("${mark}", "");\n`);
  writeFileSync(join(cwd, ".env"), "BERTH_HOST=unix:///nonexistent.sock\n");
  writeFileSync(join(cwd, "tsconfig.json"), "{ broken");
  writeFileSync(join(cwd, "package.json"), "{ broken");
  const done = await daemon.berthWith(
    { cwd, env: { BERTH_HOST: "", DOCKER_HOST: `unix://${daemon.socket}` } },
    "ps",
  );
  expect([done.status, done.err]).toEqual([0, ""]);
  expect(existsSync(mark)).toBe(false);
});

test("the first command starts a daemon, the next use it, and it goes when idle", async () => {
  const here = join(daemon.directory, "on-demand");
  mkdirSync(here);
  // Mounts and network of their own: the host may have a berth daemon at the same places.
  const script = `set -e
    mkdir -p /run/berth /var/lib/berth
    mount -t tmpfs t /run/berth; mount -t tmpfs t /var/lib/berth
    ${executable} run --rm busybox echo one 2>${here}/err1
    ${executable} run --rm busybox echo two 2>${here}/err2
    cat /run/berth/berth.pid >${here}/pid
    for i in $(seq 100); do
      test -e /run/berth/berth.pid || break
      sleep 0.1
    done
    ls -A /run/berth/c; test ! -e /run/berth/berth.sock && test ! -e /run/berth/berth.pid`;
  const child = Bun.spawn(["unshare", "--mount", "--net", "sh", "-c", script], {
    env: { PATH: process.env.PATH ?? "", BERTH_IDLE_TIMEOUT: "1" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const out = await child.stdout.text();
  expect([await child.exited, out, await child.stderr.text()]).toEqual([0, "one\ntwo\n", ""]);
  expect(readFileSync(join(here, "err1"), "utf8")).toContain("starting a daemon");
  expect(readFileSync(join(here, "err2"), "utf8")).toBe("");
  const pid = readFileSync(join(here, "pid"), "utf8").trim();
  for (let tries = 0; tries < 100 && existsSync(`/proc/${pid}`); tries++) await Bun.sleep(20);
  expect(existsSync(`/proc/${pid}`)).toBe(false);
  rmSync(here, { recursive: true });
});

test("refusals of kill and exec, and the order of the environment, are dockerd's", async () => {
  const run = ["run", "-d", "--name", "refusing", "-e", "OWN=1", "busybox", "sleep", "1000"];
  expect((await daemon.docker(...run)).status).toBe(0);
  const refused = "Error response from daemon: cannot kill container: ";
  for (const [args, why] of [
    [["nope"], "nope: No such container: nope"],
    [["-s", "FOO", "refusing"], "refusing: invalid signal: FOO"],
    [["-s", "0", "refusing"], "refusing: invalid signal: 0"],
    [["-s", "99", "refusing"], "refusing: the linux daemon does not support signal 99"],
  ] as const) {
    const done = await daemon.docker("kill", ...args);
    expect([done.status, done.err.trim()]).toEqual([1, refused + why]);
  }
  const nowhere = await daemon.docker("exec", "-w", "/nowhere", "refusing", "true");
  expect(nowhere.out + nowhere.err).toContain(
    'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory',
  );
  expect(nowhere.status).toBe(126);
  expect((await daemon.docker("exec", "refusing", "ls", "/nowhere")).status).toBe(1);
  const format = "{{index .Config.Env 0}}";
  expect((await daemon.docker("inspect", "--format", format, "refusing")).out).toBe("OWN=1\n");
  await daemon.docker("rm", "-f", "refusing");
});

test("volumes as JSON and by templates have the fields of docker's command line", async () => {
  expect((await daemon.berth("volume", "create", "--label", "a=b", "listed")).status).toBe(0);
  for (const format of ["json", "{{.Name}} {{.Size}} {{.Links}} {{.Status}} {{.Labels}}"]) {
    const words = ["volume", "ls", "--filter", "name=listed", "--format", format];
    const [berth, docker] = [await daemon.berth(...words), await daemon.docker(...words)];
    expect(berth.out).toContain("a=b");
    expect([berth.out, berth.err]).toEqual([docker.out, docker.err]);
  }
  expect((await daemon.berth("volume", "rm", "listed")).status).toBe(0);
});

test("a person is told what may have been meant; a script gets docker's words", async () => {
  await daemon.berth("create", "--name", "webserver", "busybox", "true");
  for (const [words, meant] of [
    [["satrt", "x"], "Did you mean start?"],
    [["container", "inspetc"], "Did you mean inspect?"],
    [["run", "--detatch", "busybox"], "Did you mean --detach?"],
    [["rm", "websever"], "Did you mean webserver?"],
    [["logs", "webservr"], "Did you mean webserver?"],
    [["logs", "xyz"], "Containers: berth ps -a"],
    [["exec", "webserver", "true"], "Start it: berth start "],
    [["network", "connect", "netz", "webserver"], "Make it: berth network create netz"],
    [["run", "--rm", "busybox", "ech"], "The image has no ech."],
    [["-c", "nowhere", "ps"], "Contexts: berth context ls"],
  ] as const) {
    const session = daemon.onTerminal(...words);
    await session.see(meant);
    expect(await session.ended()).not.toBe(0);
    const script = await daemon.berth(...words);
    expect(script.out + script.err).not.toContain(meant);
  }
  await daemon.berth("rm", "webserver");
});

test("what berth has not is named, with what serves instead", async () => {
  for (const [line, why] of [
    ["trust sign busybox:latest", "berth image verify"],
    ["build --isolation hyperv /", "leave the flag out"],
    ["build --security-opt seccomp=unconfined /", "berth run --security-opt"],
    ["swarm join", "requires 1 argument"],
  ] as const) {
    const { status, out, err } = await daemon.berth(...line.split(" "));
    expect([line, status, out, err]).toEqual([line, 1, "", expect.stringContaining(why)]);
  }
  const help = await daemon.berth("service", "--help");
  expect([help.status, help.out]).toEqual([0, expect.stringContaining("Swarms are not supported")]);
});

test("doctor looks at this host, with a daemon and without one", async () => {
  const done = await daemon.berth("doctor", "--data-root", `${daemon.directory}/data`);
  expect([done.status, done.err]).toEqual([0, ""]);
  expect(done.out).toMatch(/^ok {4}Kernel: Linux \d/);
  expect(done.out).toContain("Daemon: version ");
  const env = { BERTH_HOST: "unix:///nonexistent/s" };
  const alone = await daemon.berthWith({ env }, "doctor", "--format", "json");
  const lines = alone.out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { Check: string });
  expect(lines.map(({ Check }) => Check)).toContain("Control groups");
  expect(alone.out).toContain("none answers");
});

test("top without a container is live: it sorts, stops, opens a shell, and gives the terminal back", async () => {
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "busy",
    "busybox",
    "sh",
    "-c",
    "trap 'exit 0' TERM; while :; do :; done",
  );
  await daemon.berth("run", "-d", "--name", "idle", "busybox", "sleep", "1000");
  const session = daemon.onTerminal("top");
  await session.see(/2 running, CPU [1-9]/);
  session.type("a");
  await session.see("NAME*");
  session.type("\x1b[B");
  session.type("e");
  await session.see("# ");
  session.type("echo in-$HOSTNAME-$((40+2)); exit\n");
  await session.see("-42");
  await session.see("2 running");
  session.type("s");
  await session.see("Stop idle? (y/n)");
  session.type("n");
  session.type("c");
  await session.see("CPU %*");
  session.type("kkks");
  await session.see("Stop busy? (y/n)");
  session.type("y");
  await session.see("1 running");
  session.type("q");
  expect(await session.ended()).toBe(0);
  expect(await daemon.inspect("busy", "{{.State.Running}}")).toBe("false");
  expect(await daemon.inspect("idle", "{{.State.Running}}")).toBe("true");
  const script = await daemon.berth("top");
  expect([script.status, script.err]).toEqual([1, expect.stringContaining("needs a terminal")]);
  await daemon.berth("rm", "-f", "busy", "idle");
});
