/** `berth machine` with a real sshd: berth is put onto another host, used, upgraded, and taken away without a trace. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { hasSshd, SshHost } from "../kits/ssh-host.ts";

const executable = join(import.meta.dir, "../../dist/berth");
const before = takeCensus();
const onlyWithSshd = test.skipIf(!hasSshd);
const possible = hasSshd ? new SshHost() : undefined;

function far(): SshHost {
  if (possible === undefined) throw new Error("no sshd");
  return possible;
}

beforeAll(async () => {
  await possible?.start();
});

afterAll(async () => {
  await possible?.stopDaemon();
  await possible?.destroy();
  expect(await settledLeftover(before)).toEqual([]);
});

const machine = (...args: string[]) => far().berth("machine", ...args);
const create = (name: string, ...more: string[]) =>
  machine(
    ...["create", "--driver", "generic", "--generic-ip-address", "127.0.0.1"],
    ...["--generic-ssh-port", String(far().port), ...more, name],
  );
/** Everything that an installation could leave behind. */
const traces = async () =>
  (
    await far().there(
      "ls -d /root/.berth-* /usr/local/bin/* /usr/local/share/berth /usr/local/share/man/man1/* /etc/systemd/system/berth* /usr/local/lib/systemd /etc/sysusers.d 2>/dev/null; cat /etc/group",
    )
  ).out;

onlyWithSshd("create, use by both clients, upgrade, rm: nothing is left", async () => {
  const host = far();
  // Whoever tests here may have docker in /usr/local/bin.
  await host.there("rm -f /usr/local/bin/docker /usr/bin/docker");
  const untouched = await traces();
  const made = await create("far");
  expect([made.err, made.status]).toEqual(["", 0]);
  expect(made.out).toContain("is up and running!");
  expect((await host.berth("context", "ls", "-q")).out).toBe("default\nfar\n");
  expect((await host.there("berth --version")).out).toMatch(/^berth version \d/);

  const ran = await host.berth(
    "-c",
    "far",
    "run",
    "-d",
    "--name",
    "lives",
    "busybox",
    "sleep",
    "1000",
  );
  expect([ran.err, ran.status]).toEqual(["", 0]);
  const seen = await host.docker("-c", "far", "ps", "--format", "{{.Names}}");
  expect([seen.out, seen.err]).toEqual(["lives\n", ""]);

  const pid = () => host.there("cat /run/berth/berth.pid");
  const daemon = (await pid()).out;
  await host.there("printf x >> /usr/local/share/man/man1/berth-run.1");
  const refused = await machine("upgrade", "far");
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("berth-run.1")]);
  await host.there("sed -i '$ s/x$//' /usr/local/share/man/man1/berth-run.1");
  await host.there("rm /usr/local/share/man/man1/berth-run.1");
  const upgraded = await machine("upgrade", "far");
  expect([upgraded.err, upgraded.status]).toEqual(["", 0]);
  expect((await host.there("test -e /usr/local/share/man/man1/berth-run.1")).status).toBe(0);
  expect((await host.berth("-c", "far", "exec", "lives", "echo", "still")).out).toBe("still\n");
  expect((await pid()).out).not.toBe(daemon);

  const kept = await machine("rm", "-y", "far");
  expect([kept.status, kept.err]).toEqual([
    1,
    expect.stringContaining("containers run on far (1)"),
  ]);
  expect((await host.berth("-c", "far", "rm", "-f", "lives")).status).toBe(0);
  const removed = await machine("rm", "-y", "far");
  expect([removed.err, removed.status]).toEqual(["", 0]);
  expect(await traces()).toBe(untouched);
  expect((await host.berth("context", "ls", "-q")).out).toBe("default\n");
  expect((await host.there("ls /run/berth/berth.pid")).status).not.toBe(0);
});

onlyWithSshd(
  "a key that only the machine has; env, ls, ip, url, ssh, inspect, status",
  async () => {
    const host = far();
    host.offer("berth");
    host.offer("docker");
    host.useKey(undefined);
    const key = ["--generic-ssh-key", host.key];
    const refused = await create("keyed");
    expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("ssh-copy-id")]);
    const made = await create("keyed", ...key);
    expect([made.err, made.status]).toEqual(["", 0]);
    expect(made.out).toContain("installed there already");
    expect(made.out).toContain(`ssh-add ${host.key}`);
    expect((await host.berth("-c", "keyed", "info", "--format", "{{.OSType}}")).out).toBe(
      "linux\n",
    );
    const said = async (...args: string[]) => (await machine(...args)).out;
    expect(await said("ip", "keyed")).toBe("127.0.0.1\n");
    expect(await said("url", "keyed")).toBe(`${host.url}\n`);
    expect(await said("status", "keyed")).toBe("Running\n");
    expect(await said("ssh", "keyed", "echo", "$((6*7))")).toBe("42\n");
    expect((await machine("ssh", "keyed", "exit 9")).status).toBe(9);
    expect(await said("inspect", "-f", "{{.Driver.SSHPort}} {{.DriverName}}", "keyed")).toBe(
      `${host.port} generic\n`,
    );
    expect(await said("inspect", "keyed")).toContain('"Berth": false');
    const version = (
      await said("ssh", "keyed", "berth", "version", "-f", "{{.Server.Version}}")
    ).trim();
    expect((await said("ls")).replace(/ {2,}/g, " ")).toBe(
      `NAME ACTIVE DRIVER STATE URL BERTH ERRORS\nkeyed - generic Running ${host.url} v${version} \n`,
    );
    expect(await said("ls", "-q", "--filter", "state=stopped")).toBe("");
    for (const [shell, line] of [
      ["bash", `export DOCKER_HOST="${host.url}"\nexport DOCKER_MACHINE_NAME="keyed"\n`],
      ["fish", `set -gx DOCKER_HOST "${host.url}";\n`],
      ["tcsh", `setenv DOCKER_HOST "${host.url}";\n`],
    ] as const)
      expect(await said("env", "--shell", shell, "keyed")).toStartWith(line);
    // As a person has it; the key comes with it.
    const script = `eval "$(${executable} machine env --shell bash keyed)"; ${executable} ps -q && ${executable} machine active; eval "$(${executable} machine env --shell bash -u)"; echo "host=$DOCKER_HOST"`;
    const evaluated = Bun.spawnSync(["sh", "-c", script], { env: host.env });
    expect([evaluated.stderr.toString(), evaluated.stdout.toString()]).toEqual([
      "",
      "keyed\nhost=\n",
    ]);
    // What was there before stays.
    expect((await machine("rm", "-y", "keyed")).status).toBe(0);
    host.useKey(host.key);
    expect((await host.there(`test -e ${host.bin}/berth`)).status).toBe(0);
    for (const name of ["berth", "docker"] as const) host.withdraw(name);
  },
);

onlyWithSshd("what can be no machine is refused before anything is changed", async () => {
  const host = far();
  const untouched = await traces();
  for (const [args, why] of [
    [
      ["create", "--generic-ip-address", "127.0.0.1", "--driver", "virtualbox", "xx"],
      "berth makes no hosts",
    ],
    [["create", "xx"], "--generic-ip-address"],
    [["create", "--generic-ip-address", "-oProxyCommand=x", "xx"], "no name of a host or user"],
    [
      ["create", "--generic-ip-address", "h", "--generic-ssh-user", "a';b", "xx"],
      "no name of a user",
    ],
    [
      ["create", "--generic-ip-address", "h", "--generic-ssh-key", "/nowhere", "xx"],
      "does not exist",
    ],
    [["create", "--generic-ip-address", "127.0.0.1", "default"], "reserved"],
    [["ssh", "nope"], 'Machine "nope" does not exist'],
    [["ip", "nope"], 'Machine "nope" does not exist'],
    [["active"], "No active host found"],
  ] as const) {
    const { status, err } = await machine(...args);
    expect([args, status, err]).toEqual([args, 1, expect.stringContaining(why)]);
  }
  // Another processor, and a system that is none.
  for (const [says, why] of [
    ["if [ $1 = -m ]; then echo sparc64; else echo Linux; fi", "a processor of the kind sparc64"],
    ["echo Plan9", "berth needs Linux"],
  ] as const) {
    writeFileSync(`${host.bin}/uname`, `#!/bin/sh\n${says}\n`, { mode: 0o755 });
    const { status, err } = await create("odd");
    expect([status, err]).toEqual([1, expect.stringContaining(why)]);
  }
  await host.there(`rm ${host.bin}/uname`);
  expect(await traces()).toBe(untouched);
  expect((await host.berth("context", "ls", "-q")).out).toBe("default\n");
});

onlyWithSshd("a create that fails midway is taken back", async () => {
  const host = far();
  await host.there("rm -f /usr/local/bin/docker /usr/bin/docker");
  const untouched = await traces();
  // The daemon that is to be started cannot be.
  await host.stopDaemon();
  await host.there("mkdir -p /etc/berth && echo '{' > /etc/berth/daemon.json");
  const { status, out, err } = await create("broken");
  expect([status, out]).toEqual([1, expect.stringContaining("Taking back what was done...")]);
  expect(err).toContain("daemon.json");
  await host.there("rm -r /etc/berth");
  expect(await traces()).toBe(untouched);
  expect((await host.berth("context", "ls", "-q")).out).toBe("default\n");
});

onlyWithSshd(
  "start and stop are refused; a host that is gone is told of, and can be forgotten",
  async () => {
    const host = far();
    host.offer("berth");
    host.offer("docker");
    expect((await create("gone")).status).toBe(0);
    for (const verb of ["start", "stop", "restart", "kill"]) {
      const { status, err } = await machine(verb, "gone");
      expect([status, err]).toEqual([1, expect.stringContaining(`does not support ${verb}`)]);
    }
    expect((await create("gone")).err).toContain('Host already exists: "gone"');
    await host.berth("context", "use", "gone");
    expect((await machine("ls")).out).toMatch(/^gone +\* +generic +Running/m);
    await host.stopDaemon();
    await host.stop();
    expect((await machine("status", "gone")).out).toBe("Stopped\n");
    expect((await machine("ls")).out).toMatch(/^gone .*Stopped .*Connection refused$/m);
    const refused = await machine("rm", "-y", "gone");
    expect([refused.status, refused.err]).toEqual([
      1,
      expect.stringContaining("Connection refused"),
    ]);
    expect((await machine("rm", "-f", "gone")).status).toBe(0);
    expect(readFileSync(`${host.directory}/home/.docker/config.json`, "utf8")).not.toContain(
      "gone",
    );
    await host.start();
  },
);
