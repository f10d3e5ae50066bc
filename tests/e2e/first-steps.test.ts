/** What a book's first chapters teach, by berth's own command line and by the stock docker. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { type CommandOptions, type Done, daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const clients: [string, (options: CommandOptions, ...args: string[]) => Promise<Done>][] = [
  ["berth", (options, ...args) => daemon.berthWith(options, ...args)],
];
if (existsSync("/usr/local/bin/docker") || existsSync("/usr/bin/docker"))
  clients.push(["docker", (options, ...args) => daemon.dockerWith(options, ...args)]);
else console.log("skipped: the stock docker command line is not on this machine");

describe.each(clients)("%s", (name, call) => {
  const cli = (...args: string[]) => call({}, ...args);

  test("run says what the container says and ends as it ends", async () => {
    expect(await cli("run", "--rm", "busybox", "echo", "hello")).toEqual({
      status: 0,
      out: "hello\n",
      err: "",
    });
    const both = await cli("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3");
    expect(both).toEqual({ status: 3, out: "out\n", err: "err\n" });
    expect((await cli("run", "--rm", "busybox", "no-such-command")).status).toBe(127);
    expect((await cli("run", "--rm", "busybox", "/etc")).status).toBe(126);
    expect((await cli("run", "--rm", "no-such-image")).status).toBe(125);
    expect((await cli("ps", "-aq")).out).toBe("");
  });

  test("stdin reaches the container and its end too", async () => {
    const input = "x".repeat(200_000);
    const done = await call({ stdin: input }, "run", "-i", "--rm", "busybox", "wc", "-c");
    expect(done).toEqual({ status: 0, out: "200000\n", err: "" });
  });

  test("a container lives: ps, logs, exec, stop, start, rm", async () => {
    const life = `${name}-life`;
    const script = "trap 'echo bye; exit 5' TERM; echo up; while true; do sleep 0.02; done";
    const id = (await cli("run", "-d", "--name", life, "busybox", "sh", "-c", script)).out.trim();
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect((await cli("ps", "--format", "{{.Names}} {{.Image}} {{.State}}")).out).toBe(
      `${life} busybox running\n`,
    );
    expect((await cli("exec", life, "hostname")).out).toBe(`${id.slice(0, 12)}\n`);
    expect((await call({ stdin: "in" }, "exec", "-i", life, "cat")).out).toBe("in");
    expect(
      (
        await cli(
          "exec",
          "-u",
          "nobody",
          "-w",
          "/tmp",
          "-e",
          "A=b",
          life,
          "sh",
          "-c",
          "id -un; pwd; echo $A; exit 7",
        )
      ).out,
    ).toBe("nobody\n/tmp\nb\n");
    expect((await cli("exec", life, "sh", "-c", "exit 7")).status).toBe(7);
    expect((await cli("exec", life, "no-such-command")).status).not.toBe(0);
    expect((await cli("run", "-d", "--name", life, "busybox")).err).toContain(
      `Conflict. The container name "/${life}" is already in use by container "${id}"`,
    );
    expect((await cli("rm", life)).err).toContain(
      "container is running: stop the container before removing or force remove",
    );
    expect((await cli("stop", life)).out).toBe(`${life}\n`);
    expect((await cli("logs", life)).out).toBe("up\nbye\n");
    expect((await cli("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", life)).out).toBe(
      "exited 5\n",
    );
    expect((await cli("start", life)).out).toBe(`${life}\n`);
    expect((await cli("kill", life)).out).toBe(`${life}\n`);
    expect((await cli("wait", life)).out).toBe("137\n");
    expect((await cli("logs", "--tail", "1", life)).out).toMatch(/up|bye/);
    expect((await cli("rm", id.slice(0, 10))).out).toBe(`${id.slice(0, 10)}\n`);
    expect((await cli("inspect", life)).status).toBe(1);
  });

  test("the container's user, environment, directory, hostname and files are as asked", async () => {
    const script =
      "id -u; id -g; pwd; echo $A $HOME; hostname; cat /etc/hosts; grep -c . /proc/mounts";
    const done = await cli(
      "run",
      "--rm",
      "-u",
      "1000:2000",
      "-e",
      "A=1",
      "-w",
      "/some/where",
      "-h",
      "named",
      "--add-host",
      "other:10.1.2.3",
      "busybox",
      "sh",
      "-c",
      script,
    );
    expect(done.out).toStartWith("1000\n2000\n/some/where\n1 /\nnamed\n");
    expect(done.out).toContain("10.1.2.3\tother\n");
    expect((await cli("run", "--rm", "-u", "nosuchuser", "busybox", "true")).err).toContain(
      "unable to find user nosuchuser: no matching entries in passwd file",
    );
    expect((await cli("run", "--rm", "-u", "4294967296", "busybox", "id")).status).not.toBe(0);
  });

  test("binds, named and anonymous volumes hold data, read-only ones refuse it", async () => {
    const host = `${daemon.directory}/${name}-bind`;
    mkdirSync(host);
    writeFileSync(`${host}/from-host`, "host\n");
    const volume = `${name}-volume`;
    const script =
      "cat /h/from-host; touch /h/new || echo refused; echo kept > /v/file; ls /tmp/anon";
    const done = await cli(
      "run",
      "--rm",
      "-v",
      `${host}:/h:ro`,
      "-v",
      `${volume}:/v`,
      "-v",
      "/tmp/anon",
      "busybox",
      "sh",
      "-c",
      script,
    );
    expect(done.out).toBe("host\nrefused\n");
    expect(
      (await cli("run", "--rm", "-v", `${volume}:/again`, "busybox", "cat", "/again/file")).out,
    ).toBe("kept\n");
    expect((await cli("volume", "ls", "-q")).out).toBe(`${volume}\n`);
    expect((await cli("volume", "rm", volume)).out).toBe(`${volume}\n`);
  });

  test("a published port answers, and is free again afterwards", async () => {
    const web = `${name}-web`;
    const serve = "mkdir /www; echo served > /www/index.html; exec httpd -f -p 80 -h /www";
    await cli("run", "-d", "--name", web, "-p", "127.0.0.1::80", "busybox", "sh", "-c", serve);
    const address = (await cli("port", web, "80")).out.trim();
    expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    let body = "";
    while (body === "")
      body = await fetch(`http://${address}/`).then(
        (response) => response.text(),
        () => "",
      );
    expect(body).toBe("served\n");
    const second = await cli("run", "--rm", "-p", `${address}:80`, "busybox", "true");
    expect(second.status).toBe(125);
    expect(second.err).toContain("address already in use");
    await cli("rm", "-f", web);
    expect((await cli("run", "--rm", "-p", `${address}:80`, "busybox", "true")).status).toBe(0);
  });

  test("limits hold, and an out-of-memory kill is told", async () => {
    const show =
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
    expect(
      (await cli("run", "--rm", "-m", "64m", "--pids-limit", "33", "busybox", "sh", "-c", show))
        .out,
    ).toBe("67108864\n33\n");
    const greedy = `${name}-greedy`;
    const eaten = await cli(
      "run",
      "--name",
      greedy,
      "-m",
      "16m",
      "busybox",
      "sh",
      "-c",
      "tail /dev/zero",
    );
    expect(eaten.status).toBe(137);
    expect((await cli("inspect", "-f", "{{.State.OOMKilled}}", greedy)).out).toBe("true\n");
    await cli("rm", greedy);
    expect((await cli("run", "--rm", "-m", "1m", "busybox", "true")).err).toContain(
      "Minimum memory limit allowed is 6MB",
    );
  });
});
