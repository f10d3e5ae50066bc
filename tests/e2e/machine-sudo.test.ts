/** `berth machine` for a user who is not root there: with sudo, with systemd, and what is said where either is missing. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { hasSshd, SshHost } from "../kits/ssh-host.ts";

const before = takeCensus();
const isPossible = hasSshd && Bun.which("sudo") !== null;
const onlyWithSudo = test.skipIf(!isPossible);
const possible = isPossible ? new SshHost() : undefined;

function far(): SshHost {
  if (possible === undefined) throw new Error("no sshd, or no sudo");
  return possible;
}

beforeAll(async () => {
  if (possible === undefined) return;
  await possible.start();
  await possible.addUser("helmsman", "ALL=(ALL) NOPASSWD: ALL");
  await possible.addUser("asked", "ALL=(ALL) ALL");
  await possible.addUser("nobodys");
  // Whoever tests here may have docker in /usr/local/bin.
  await possible.there("rm -f /usr/local/bin/docker /usr/bin/docker");
});

afterAll(async () => {
  await possible?.there("systemctl disable --now berth.socket berth.service");
  await possible?.destroy();
  expect(await settledLeftover(before)).toEqual([]);
});

const create = (user: string, name: string) =>
  far().berth(
    ...["machine", "create", "--generic-ip-address", "127.0.0.1", "--generic-ssh-user", user],
    ...["--generic-ssh-port", String(far().port), name],
  );
const traces = async () =>
  (
    await far().there(
      "ls -d /root/.berth-* /run/*/.berth-* /usr/local/bin/* /usr/local/share/berth /usr/local/share/man/man1/* /etc/systemd/system/berth* /usr/local/lib/systemd /etc/sysusers.d 2>/dev/null; cat /etc/group",
    )
  ).out;

onlyWithSudo("what is missing is said, and nothing is changed", async () => {
  const host = far();
  const untouched = await traces();
  const without = await create("helmsman", "early");
  expect([without.status, without.err]).toEqual([1, expect.stringContaining("has no systemd")]);
  await host.giveSystemd();
  const asked = await create("asked", "asked");
  expect([asked.status, asked.err]).toEqual([
    1,
    expect.stringContaining("sudo asks asked for a password there"),
  ]);
  expect(asked.err).toContain('"asked ALL=(ALL) NOPASSWD: ALL"');
  // sudo does not tell a stranger whether it would ask for a password only.
  expect((await create("nobodys", "no")).err).toContain("NOPASSWD");
  await host.there("mv /usr/bin/sudo /usr/bin/sudo.away");
  const none = await create("helmsman", "none");
  await host.there("mv /usr/bin/sudo.away /usr/bin/sudo");
  expect([none.status, none.err]).toEqual([1, expect.stringContaining("there is no sudo")]);
  expect((await traces()).replace("/usr/local/bin/systemctl\n", "")).toBe(untouched);
  expect((await host.berth("context", "ls", "-q")).out).toBe("default\n");
});

onlyWithSudo("create, upgrade with containers running, rm: all with sudo and systemd", async () => {
  const host = far();
  await host.giveSystemd();
  await host.there("rm -f /run/systemctl.calls");
  const untouched = await traces();
  const calls = async () => {
    const { out } = await host.there("cat /run/systemctl.calls; rm /run/systemctl.calls");
    return out.trim().split("\n");
  };
  const installing = [
    "daemon-reload",
    "enable --now berth.socket",
    "enable berth.service",
    "restart berth.service",
  ];
  const made = await create("helmsman", "far");
  expect([made.err, made.status]).toEqual(["", 0]);
  expect(await calls()).toEqual(installing);
  expect((await host.there("stat -c '%U:%G %a' /usr/local/bin/berth")).out).toBe("root:root 755\n");
  expect((await host.there("stat -c '%U:%G %a' /run/berth/berth.sock")).out).toBe(
    "root:berth 660\n",
  );
  expect((await host.there("id -Gn", "helmsman")).out.trim().split(" ")).toContain("berth");

  const run = ["-c", "far", "run", "-d", "--name", "lives", "busybox", "sleep", "1000"];
  const ran = await host.berth(...run);
  expect([ran.err, ran.status]).toEqual(["", 0]);
  const seen = await host.docker("-c", "far", "ps", "--format", "{{.Names}}");
  expect([seen.out, seen.err]).toEqual(["lives\n", ""]);
  const pidOf = async (what: string) => (await host.there(what)).out;
  const inside = "berth inspect -f {{.State.Pid}} lives";
  const [daemon, container] = [await pidOf("cat /run/service.pid"), await pidOf(inside)];
  const upgraded = await host.berth("machine", "upgrade", "far");
  expect([upgraded.err, upgraded.status]).toEqual(["", 0]);
  expect(await calls()).toEqual(installing);
  expect(await pidOf("cat /run/service.pid")).not.toBe(daemon);
  expect(await pidOf(inside)).toBe(container);
  expect((await host.berth("-c", "far", "exec", "lives", "echo", "still")).out).toBe("still\n");

  const kept = await host.berth("machine", "rm", "-y", "far");
  expect([kept.status, kept.err]).toEqual([1, expect.stringContaining("containers run on far")]);
  expect((await host.berth("-c", "far", "rm", "-f", "lives")).status).toBe(0);
  const removed = await host.berth("machine", "rm", "-y", "far");
  expect([removed.err, removed.status]).toEqual(["", 0]);
  expect(await calls()).toEqual(["disable --now berth.socket berth.service", "daemon-reload"]);
  expect(await traces()).toBe(untouched);
  expect((await host.there("id -Gn", "helmsman")).out.trim().split(" ")).not.toContain("berth");
  expect((await host.there("ls /run/service.pid")).status).not.toBe(0);
});
