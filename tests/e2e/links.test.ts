/** Links between containers, through both command lines. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const hosts = async () => (await daemon.berth("exec", "web", "cat", "/etc/hosts")).out;
const address = (name: string) =>
  daemon.inspect(name, "{{.NetworkSettings.Networks.bridge.IPAddress}}");

beforeAll(async () => {
  const from = await daemon.berth("create", "--name", "base", "busybox", "true");
  expect(from.status).toBe(0);
  await daemon.berth(
    "commit",
    "-c",
    "EXPOSE 80 5000-5002/UDP",
    "-c",
    "ENV SECRET=1",
    "base",
    "app",
  );
  await daemon.berth("rm", "base");
  const up = await daemon.docker(
    "run",
    "-d",
    "--name",
    "db",
    "--hostname",
    "dbhost",
    "--restart",
    "always",
    "app",
    "sleep",
    "1000",
  );
  expect(up.status).toBe(0);
  const web = ["run", "-d", "--name", "web", "--link", "db:my-db", "--link", "db"];
  expect((await daemon.docker(...web, "app", "sleep", "1000")).status).toBe(0);
});
afterAll(async () => {
  await daemon.berth("rm", "-f", "web", "db");
});

test("a range that an image exposes is its ports, one by one", async () => {
  expect(JSON.parse(await daemon.inspect("db", "{{json .Config.ExposedPorts}}"))).toEqual({
    ...{ "80/tcp": {}, "5000/udp": {}, "5001/udp": {}, "5002/udp": {} },
  });
});

test("the linking container knows the other by its aliases, in hosts and environment, execs too", async () => {
  const ip = await address("db");
  expect(await hosts()).toContain(`\n${ip}\tmy-db dbhost db\n${ip}\tdb dbhost\n`);
  const { out } = await daemon.docker("exec", "web", "env");
  const lines = out.split("\n");
  for (const line of [`MY_DB_PORT=tcp://${ip}:80`, "MY_DB_NAME=/web/my-db", "DB_ENV_SECRET=1"])
    expect(lines).toContain(line);
  expect((await daemon.berth("exec", "web", "ping", "-c1", "-W2", "my-db")).status).toBe(0);
});

test("inspect, ps and references have the links", async () => {
  expect(JSON.parse(await daemon.inspect("web", "{{json .HostConfig.Links}}"))).toEqual([
    "/db:/web/my-db",
    "/db:/web/db",
  ]);
  expect(await daemon.inspect("web/my-db", "{{.Name}}")).toBe("/db");
  expect((await daemon.docker("inspect", "-f", "{{.Name}}", "web/db")).out).toBe("/db\n");
  const list = JSON.parse((await daemon.api("GET", "/containers/json")).text) as {
    Names: string[];
  }[];
  expect(list.map(({ Names }) => Names)).toContainEqual(["/db", "/web/my-db", "/web/db"]);
});

test("an address that changes is told to those that link, also by the next daemon", async () => {
  const before = await address("db");
  await daemon.berth("stop", "-t", "0", "db");
  await daemon.kill();
  await daemon.start();
  // A daemon that starts brings back what is always to run; it may have its old address again.
  await daemon.until("db", "{{.State.Status}}", "running");
  const between = await address("db");
  expect(await hosts()).toContain(`\n${between}\tmy-db dbhost db\n`);
  if (between !== before) expect(await hosts()).not.toContain(`${before}\t`);
  // What it has is not free while it restarts, nor prepared for anybody: the next is another for certain.
  await daemon.berth("restart", "-t", "0", "db");
  const now = await address("db");
  expect(now).not.toBe(between);
  expect(await hosts()).toContain(`\n${now}\tmy-db dbhost db\n`);
  expect(await hosts()).not.toContain(`${between}\t`);
});

test("what cannot be linked is refused in Docker's words", async () => {
  const refusals = [
    [["--link", "nope"], "could not get container for nope: No such container: nope"],
    [["--link", "a:b:c"], "bad format for links: a:b:c"],
    [["--network", "host", "--link", "db"], "host type networking can't be used with links"],
    [
      ["--network", "container:db", "--link", "db"],
      "container type network can't be used with links",
    ],
    [["--volumes-from", "nope"], "No such container: nope"],
    [["--network", "nope"], "network nope not found"],
  ] as const;
  for (const [flags, words] of refusals) {
    const done = await daemon.docker("run", "--rm", ...flags, "app", "true");
    expect([done.status, done.err]).toEqual([125, expect.stringContaining(words)]);
    expect(done.err).not.toContain("Unable to find image");
  }
  expect((await daemon.berth("ps", "-aq")).out.trim().split("\n")).toHaveLength(2);
});

test("a container whose other one is down does not start; after a boot it waits for it", async () => {
  await daemon.berth("stop", "-t", "0", "web", "db");
  expect((await daemon.docker("start", "web")).err).toContain(
    "Cannot link to a non running container: /db AS /web/my-db",
  );
  expect((await daemon.docker("restart", "web")).err).toContain(
    "Cannot restart container web: Cannot link to a non running container: /db AS /web/my-db",
  );
  await daemon.berth("start", "db", "web");
  await daemon.berth("update", "--restart", "always", "web");
  const pids = await Promise.all(
    ["db", "web"].map((name) => daemon.inspect(name, "{{.State.Pid}}")),
  );
  await daemon.stop();
  for (const pid of pids) process.kill(Number(pid), "SIGKILL");
  await daemon.start();
  await daemon.until("web", "{{.State.Status}}", "running");
  expect(await hosts()).toContain(`${await address("db")}\tmy-db`);
});

test("rm --link takes one link away, and not a container", async () => {
  expect((await daemon.docker("rm", "--link", "web/my-db")).out).toBe("web/my-db\n");
  expect((await daemon.docker("rm", "--link", "web/nope")).err).toContain(
    "No such container: web/nope",
  );
  expect((await daemon.berth("rm", "--link", "web")).err).toContain(
    "cannot remove the default link name",
  );
  expect(await daemon.inspect("web", "{{json .HostConfig.Links}}")).toBe('["/db:/web/db"]');
  expect((await daemon.docker("rm", "web/db")).status).toBe(1);
  expect(await daemon.inspect("db", "{{.State.Running}}")).toBe("true");
});

test("on a user's network a link is a name of whoever is called so, also of one that comes later", async () => {
  await daemon.berth("network", "create", "linked");
  const run = ["run", "-d", "--network", "linked"];
  const early = await daemon.docker(
    ...run,
    "--name",
    "early",
    "--link",
    "late:far",
    "app",
    "sleep",
    "1000",
  );
  expect([early.status, early.err]).toEqual([0, ""]);
  const far = async () => (await daemon.berth("exec", "early", "ping", "-c1", "-W2", "far")).status;
  expect(await far()).not.toBe(0);
  await daemon.berth(...run, "--name", "late", "app", "sleep", "1000");
  expect(await far()).toBe(0);
  await daemon.berth("rm", "-f", "early", "late");
  await daemon.berth("network", "rm", "linked");
});
