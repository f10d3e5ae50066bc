/** Log drivers against receivers on this machine: what arrives, what waits, and what is always readable here. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { decodeMulti } from "@msgpack/msgpack";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const work = scratchDirectory("bt-log-");
beforeAll(async () => {
  await daemon.berth("create", "--name", "warm", "busybox", "true");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 15_000; !(await holds()); await Bun.sleep(20))
    if (Date.now() > end) throw new Error("it does not come");
}

/** A TCP receiver on loopback. */
function receiver(port = 0) {
  const seen = { bytes: Buffer.alloc(0) as Buffer, connections: 0 };
  const server = Bun.listen<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: () => {
        seen.connections++;
      },
      data: (_socket, data) => {
        seen.bytes = Buffer.concat([seen.bytes, data]);
      },
    },
  });
  return { port: server.port, seen, stop: () => server.stop(true) };
}

const options = (given: Record<string, string>) =>
  Object.entries(given).flatMap(([name, value]) => ["--log-opt", `${name}=${value}`]);

test("syslog over TCP: records arrive with the tag, and logs shows them too", async () => {
  const { port, seen, stop } = receiver();
  const given = { "syslog-address": `tcp://127.0.0.1:${port}`, tag: "{{.Name}}/{{.ID}}" };
  const run = ["run", "--name", "sys", "--log-driver", "syslog", ...options(given)];
  const done = await daemon.docker(...run, "busybox", "sh", "-c", "echo one; echo two >&2");
  expect(done.status).toBe(0);
  await until(() => seen.bytes.includes("two\n"));
  expect(seen.bytes.toString()).toMatch(/^<30>.* sys\/[0-9a-f]{12}\[\d+\]: one\n/m);
  expect(seen.bytes.toString()).toMatch(/^<27>.*: two\n/m);
  const { out, err } = await daemon.docker("logs", "sys");
  expect([out, err]).toEqual(["one\n", "two\n"]);
  expect(await daemon.inspect("sys", "{{.HostConfig.LogConfig.Type}}")).toBe("syslog");
  await daemon.berth("rm", "sys");
  stop();
});

test("GELF over UDP, and details of labels and variables", async () => {
  const messages: { short_message: string; _who: string; _V: string }[] = [];
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data: (_socket, data) => void messages.push(JSON.parse(gunzipSync(data).toString())),
    },
  });
  const given = { "gelf-address": `udp://127.0.0.1:${socket.port}`, labels: "who", env: "V" };
  const run = [
    "run",
    "--name",
    "gelf",
    "--log-driver",
    "gelf",
    ...options(given),
    "-l",
    "who=me",
    "-e",
    "V=7",
  ];
  await daemon.berth(...run, "busybox", "sh", "-c", "echo a; echo b");
  await until(() => messages.length === 2);
  expect(messages.map((m) => [m.short_message, m._who, m._V])).toEqual([
    ["a", "me", "7"],
    ["b", "me", "7"],
  ]);
  for (const client of ["docker", "berth"] as const)
    expect((await daemon[client]("logs", "--details", "gelf")).out).toBe(
      "V=7,who=me a\nV=7,who=me b\n",
    );
  await daemon.berth("rm", "gelf");
  socket.close();
});

test("fluentd: a daemon that is killed in the middle sends on from where it was, and loses nothing", async () => {
  const { port, seen, stop } = receiver();
  const script = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.05; done";
  const run = [
    "run",
    "-d",
    "--name",
    "flu",
    "--log-driver",
    "fluentd",
    ...options({ "fluentd-address": `127.0.0.1:${port}` }),
  ];
  expect((await daemon.berth(...run, "busybox", "sh", "-c", script)).status).toBe(0);
  await until(() => seen.bytes.includes("line 10"));
  await daemon.kill();
  await Bun.sleep(500);
  await daemon.start();
  await daemon.berth("wait", "flu");
  await until(() => seen.bytes.includes("line 59"));
  const lines = [...decodeMulti(seen.bytes)].map(
    (message) => (message as [string, number, { log: string }])[2].log,
  );
  const missing = Array.from({ length: 60 }, (_, i) => `line ${i}`).filter(
    (line) => !lines.includes(line),
  );
  expect(missing).toEqual([]);
  await daemon.berth("rm", "flu");
  stop();
}, 30_000);

test("a receiver that goes away is reached again, and gets what was said meanwhile", async () => {
  const first = receiver();
  const address = { "syslog-address": `tcp://127.0.0.1:${first.port}` };
  const run = ["run", "-d", "--name", "away", "--log-driver", "syslog", ...options(address)];
  await daemon.berth(...run, "busybox", "sleep", "1000");
  const say = (word: string) =>
    daemon.berth("exec", "away", "sh", "-c", `echo said ${word} > /proc/1/fd/1`);
  await say("one");
  await until(() => first.seen.bytes.includes("said one"));
  first.stop();
  await Bun.sleep(200);
  await say("two");
  await say("three");
  const second = receiver(first.port);
  await until(() => second.seen.bytes.includes("said three"));
  expect(second.seen.bytes.toString()).toContain("said two");
  await daemon.berth("rm", "-f", "away");
  second.stop();
}, 30_000);

test("a receiver that never reads holds no container up", async () => {
  const deaf = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (s) => void s.pause(), data() {} },
  });
  const address = {
    "syslog-address": `tcp://127.0.0.1:${deaf.port}`,
    "cache-max-size": "1m",
    "cache-max-file": "3",
  };
  const run = ["run", "--name", "deaf", "--log-driver", "syslog", ...options(address)];
  const flood =
    "dd if=/dev/zero bs=64k count=800 2>/dev/null | tr '\\0' 'x' | fold -w 1000; echo; echo end";
  const done = await daemon.berth(...run, "busybox", "sh", "-c", `${flood}`);
  expect(done.status).toBe(0);
  expect((await daemon.berth("logs", "--tail", "1", "deaf")).out).toBe("end\n");
  // Nor does it hold up a removal, or the end of the daemon.
  expect((await daemon.berth("rm", "deaf")).status).toBe(0);
  const sizes = { ...address, mode: "non-blocking", "max-buffer-size": "64k" };
  const again = ["run", "-d", "--name", "deaf2", "--log-driver", "syslog", ...options(sizes)];
  await daemon.berth(...again, "busybox", "sh", "-c", `${flood}; sleep 1000`);
  await until(async () => (await daemon.berth("logs", "--tail", "1", "deaf2")).out === "end\n");
  expect(await daemon.stop()).toBe(0);
  await daemon.start();
  expect((await daemon.berth("rm", "-f", "deaf2")).status).toBe(0);
  deaf.stop(true);
}, 60_000);

test("what was rotated away before it could be sent is counted and told of, once there is a receiver", async () => {
  const nobody = receiver();
  const port = nobody.port;
  nobody.stop();
  const given = { "fluentd-address": `127.0.0.1:${port}`, "fluentd-async": "true" };
  const sizes = { "cache-max-size": "10k", "cache-max-file": "2" };
  const run = ["run", "-d", "--name", "gap", "--log-driver", "fluentd"];
  const loop = "echo first; while [ ! -e /go ]; do usleep 10000; done; seq 5000; sleep 1000";
  await daemon.docker(...run, ...options({ ...given, ...sizes }), "busybox", "sh", "-c", loop);
  const first = receiver(port);
  await until(() => first.seen.bytes.includes("first"));
  // Its place is kept once it is surely sent.
  await Bun.sleep(2500);
  first.stop();
  await Bun.sleep(300);
  await daemon.docker("exec", "gap", "touch", "/go");
  await until(async () => (await daemon.docker("logs", "--tail", "1", "gap")).out === "5000\n");
  const second = receiver(port);
  await until(() => second.seen.bytes.includes("5000"));
  const { text } = await daemon.api("GET", "/containers/gap/stats?stream=false&one-shot=true");
  expect(JSON.parse(text).Berth.Log.UnsentGaps).toBe(1);
  const wanted = [
    "--filter",
    "event=log-lost",
    "--filter",
    "container=gap",
    "--format",
    "{{.Actor.Attributes.reason}}",
  ];
  const events = () => daemon.docker("events", "--since", "1", "--until", "0s", ...wanted);
  await until(async () => (await events()).out === "rotated\n");
  second.stop();
  await daemon.berth("rm", "-f", "gap");
}, 60_000);

test("syslog and journald over datagram sockets", async () => {
  const path = `${work}/dev-log`;
  const script = [
    "import socket, sys",
    "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "s.bind(sys.argv[1])",
    "print('ready', flush=True)",
    "while True: sys.stdout.buffer.write(s.recv(65536)); sys.stdout.flush()",
  ].join("\n");
  const python = Bun.spawn(["python3", "-c", script, path], { stdout: "pipe" });
  let seen = "";
  void (async () => {
    for await (const piece of python.stdout) seen += Buffer.from(piece).toString();
  })();
  await until(() => seen.includes("ready"));
  const run = ["run", "--name", "dgram", "--log-driver", "syslog"];
  const given = { "syslog-address": `unixgram://${path}`, "syslog-format": "rfc5424micro" };
  const loop = "i=0; while [ $i -lt 500 ]; do echo n$i.; i=$((i+1)); done";
  await daemon.berth(...run, ...options(given), "busybox", "sh", "-c", loop);
  await until(() => seen.includes("n499."));
  for (let i = 0; i < 500; i++) expect(seen).toContain(` - n${i}.\n`);
  await daemon.berth("rm", "dgram");
  python.kill();
  await python.exited;
}, 30_000);

test("a start whose receiver is not there fails in Docker's words; fluentd-async waits", async () => {
  const nobody = receiver();
  nobody.stop();
  const at = `127.0.0.1:${nobody.port}`;
  for (const [driver, given] of [
    ["syslog", { "syslog-address": `tcp://${at}` }],
    ["fluentd", { "fluentd-address": at }],
    ["journald", {}],
  ] as const) {
    if (driver === "journald" && existsSync("/run/systemd/journal/socket")) continue;
    const run = ["run", "--name", "never", "--log-driver", driver, ...options(given)];
    const done = await daemon.docker(...run, "busybox", "true");
    expect([done.status, done.err]).toEqual([
      125,
      expect.stringContaining("failed to initialize logging driver"),
    ]);
    await daemon.berth("rm", "never");
  }
  const patient = { "fluentd-address": at, "fluentd-async": "true" };
  const run = ["run", "--rm", "--log-driver", "fluentd", ...options(patient)];
  expect((await daemon.docker(...run, "busybox", "echo", "hi")).out).toBe("hi\n");
}, 30_000);

test("options that a driver does not take are refused, and nothing is created", async () => {
  const before = (await daemon.berth("ps", "-aq")).out;
  for (const [flags, words] of [
    [["--log-driver", "nope"], "no log driver named 'nope' is registered"],
    [["--log-opt", "x=1"], "unknown log opt 'x' for json-file log driver"],
    [["--log-driver", "gelf"], "gelf-address is a required parameter"],
    [["--log-opt", "tag={{.Bad}}"], "log-tag"],
  ] as const) {
    const done = await daemon.docker("create", ...flags, "busybox", "true");
    expect([done.status, done.err]).toEqual([1, expect.stringContaining(words)]);
  }
  expect((await daemon.berth("ps", "-aq")).out).toBe(before);
  const { out } = await daemon.docker("info", "-f", "{{json .Plugins.Log}} {{.LoggingDriver}}");
  expect(out).toBe('["fluentd","gelf","journald","json-file","local","none","syslog"] json-file\n');
});

test("local keeps its records and names no path; none, and who disables the copy, shows nothing and says so", async () => {
  await daemon.docker(
    "run",
    "--name",
    "loc",
    "--log-driver",
    "local",
    "--log-opt",
    "max-size=1m",
    "busybox",
    "echo",
    "kept",
  );
  expect((await daemon.docker("logs", "loc")).out).toBe("kept\n");
  expect(await daemon.inspect("loc", "{{.LogPath}}")).toBe("");
  await daemon.docker("run", "--name", "non", "--log-driver", "none", "busybox", "echo", "gone");
  expect((await daemon.docker("logs", "non")).err).toContain(
    "configured logging driver does not support reading",
  );
  const { port, seen, stop } = receiver();
  const given = { "syslog-address": `tcp://127.0.0.1:${port}`, "cache-disabled": "true" };
  const run = ["run", "--name", "unc", "--log-driver", "syslog", ...options(given)];
  await daemon.docker(...run, "busybox", "echo", "sent");
  await until(() => seen.bytes.includes("sent\n"));
  expect((await daemon.docker("logs", "unc")).err).toContain(
    "configured logging driver does not support reading",
  );
  stop();
  await daemon.berth("rm", "loc", "non", "unc");
});
