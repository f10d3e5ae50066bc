/**
 * What test suites do with Testcontainers, against the daemon that DOCKER_HOST names. RYUK_CONTAINER_IMAGE names an image
 * that does what Ryuk does; what this program leaves running, that removes.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { GenericContainer, getContainerRuntimeClient, Wait } from "testcontainers";
import { play, type Scenarios, textOf, until } from "./scenarios.ts";
import { filesOf, tarOf } from "./tars.ts";

const directory = mkdtempSync(join(tmpdir(), "bt-tc-"));
// Containers' root is another user than this program's where the daemon is a user's.
chmodSync(directory, 0o777);
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

/** A container that serves the file `greeting` below /www, after what `before` does. */
function server(before = "true"): GenericContainer {
  return new GenericContainer("busybox")
    .withCommand(["sh", "-c", `${before}; exec httpd -f -h /www -p 8000`])
    .withExposedPorts(8000)
    .withCopyContentToContainer([{ content: "served\n", target: "/www/greeting" }]);
}

const idle = () => new GenericContainer("busybox").withCommand(["sleep", "1000"]);

async function gone(id: string): Promise<boolean> {
  const client = await getContainerRuntimeClient();
  return client.container.inspect(client.container.getById(id)).then(
    () => false,
    (error: { statusCode?: number }) => error.statusCode === 404,
  );
}

const scenarios: Scenarios = {
  async "mapped ports, and waiting until they listen"() {
    await using box = await server("sleep 0.3").start();
    const answer = await fetch(`http://${box.getHost()}:${box.getMappedPort(8000)}/greeting`);
    assert.equal(await answer.text(), "served\n");
    assert.equal(box.getFirstMappedPort(), box.getMappedPort("8000/tcp"));
    assert.match(box.getIpAddress("bridge"), /^\d+\.\d+\.\d+\.\d+$/);
    assert.deepEqual(box.getNetworkNames(), ["bridge"]);
  },

  async "a port of the host that the test chooses"() {
    const free = await new Promise<number>((resolve) => {
      import("node:net").then(({ createServer }) => {
        const listener = createServer().listen(0, () => {
          const address = listener.address();
          listener.close(() => resolve(typeof address === "object" ? (address?.port ?? 0) : 0));
        });
      });
    });
    await using box = await server().withExposedPorts({ container: 8000, host: free }).start();
    assert.equal(box.getMappedPort(8000), free);
  },

  async "waiting for a message in the log"() {
    await using box = await new GenericContainer("busybox")
      .withCommand([
        "sh",
        "-c",
        "for n in 1 2 3; do echo ready $n; sleep 0.1; done; exec sleep 1000",
      ])
      .withWaitStrategy(Wait.forLogMessage(/ready \d/, 3))
      .start();
    assert.match(await first(await box.logs({ tail: 1 })), /ready 3/);
  },

  async "waiting for a health check, the image's or one's own"() {
    await using box = await idle()
      .withHealthCheck({
        test: ["CMD-SHELL", "test -e /tmp/go || touch /tmp/go"],
        interval: 100,
        retries: 5,
        timeout: 1000,
      })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    assert.equal((await box.exec("test -e /tmp/go")).exitCode, 0);
  },

  async "waiting for an answer over HTTP"() {
    await using box = await server("sleep 0.3")
      .withWaitStrategy(
        Wait.forHttp("/greeting", 8000)
          .forStatusCode(200)
          .forResponsePredicate((body) => body === "served\n"),
      )
      .start();
    assert.ok(box.getFirstMappedPort() > 0);
  },

  async "waiting for a command, for the end, for all of several"() {
    await using box = await new GenericContainer("busybox")
      .withCommand(["sh", "-c", "sleep 0.3; echo up; touch /up; exec sleep 1000"])
      .withWaitStrategy(
        Wait.forAll([Wait.forSuccessfulCommand("test -e /up"), Wait.forLogMessage("up")]),
      )
      .start();
    assert.equal((await box.exec(["cat", "/up"])).exitCode, 0);
    await using once = await new GenericContainer("busybox")
      .withCommand(["sh", "-c", "sleep 0.2; echo once"])
      .withWaitStrategy(Wait.forOneShotStartup())
      .start();
    assert.equal(await textOf(await once.logs()), "once\n");
  },

  async "a start that fails in time"() {
    const attempt = new GenericContainer("busybox")
      .withCommand(["sleep", "1000"])
      .withStartupTimeout(300)
      .withWaitStrategy(Wait.forLogMessage("never"));
    await assert.rejects(attempt.start(), /"never"/);
    await assert.rejects(idle().withCommand(["no-such-program"]).start(), /no-such-program/);
  },

  async "files, directories, contents and archives, in and out"() {
    writeFileSync(join(directory, "source"), "from a file");
    await using box = await idle()
      .withCopyFilesToContainer([
        { source: join(directory, "source"), target: "/in/file", mode: 0o640 },
      ])
      .withCopyDirectoriesToContainer([{ source: directory, target: "/in/directory" }])
      .withCopyContentToContainer([{ content: Readable.from(["streamed"]), target: "/in/content" }])
      .withCopyArchivesToContainer([
        { tar: Readable.from([tarOf({ packed: "p" })]), target: "/tmp" },
      ])
      .start();
    const seen = await box.exec([
      "sh",
      "-c",
      "cd /in; cat file directory/source content /tmp/packed; stat -c %a file",
    ]);
    assert.equal(seen.output, "from a filefrom a filestreamedp640\n");
    await box.copyContentToContainer([{ content: "later", target: "/in/later" }]);
    await box.copyArchiveToContainer(Readable.from([tarOf({ second: "2" })]), "/in");
    const chunks: Buffer[] = [];
    for await (const chunk of await box.copyArchiveFromContainer("/in"))
      chunks.push(Buffer.from(chunk));
    assert.deepEqual(filesOf(Buffer.concat(chunks)), {
      "in/file": "from a file",
      "in/directory/source": "from a file",
      "in/content": "streamed",
      "in/later": "later",
      "in/second": "2",
    });
  },

  async "bind mounts, tmpfs, environment, labels, user, limits"() {
    await using box = await idle()
      .withBindMounts([{ source: directory, target: "/bound", mode: "rw" }])
      .withTmpFs({ "/scratch": "rw,noexec,size=1m" })
      .withEnvironment({ GIVEN: "x" })
      .withLabels({ who: "tc" })
      .withUser("1000:1000")
      .withWorkingDir("/scratch")
      .withHostname("of-tc")
      .withResourcesQuota({ memory: 0.0625, cpu: 0.5 })
      .withUlimits({ nofile: { hard: 512, soft: 256 } })
      .withSharedMemorySize(1 << 20)
      .withExtraHosts([{ host: "elsewhere", ipAddress: "10.1.2.3" }])
      .withAddedCapabilities("NET_ADMIN")
      .withDroppedCapabilities("CHOWN")
      .start();
    assert.equal(box.getLabels().who, "tc");
    assert.equal(box.getHostname(), "of-tc");
    const script =
      "echo $GIVEN $(id -u) $(pwd) $(hostname) $(ulimit -n); grep -c elsewhere /etc/hosts";
    assert.equal((await box.exec(["sh", "-c", script])).output, "x 1000 /scratch of-tc 256\n1\n");
    assert.equal(
      (await box.exec(["sh", "-c", "echo out > /bound/written"], { user: "root" })).exitCode,
      0,
    );
    assert.equal(readFileSync(join(directory, "written"), "utf8"), "out\n");
  },

  async "exec: both outputs, exit code, environment, user, directory"() {
    await using box = await idle().start();
    const done = await box.exec(["sh", "-c", "echo $V; pwd; id -u; echo e >&2; exit 3"], {
      env: { V: "v" },
      workingDir: "/tmp",
      user: "5",
    });
    assert.deepEqual([done.stdout, done.stderr, done.exitCode], ["v\n/tmp\n5\n", "e\n", 3]);
    const missing = await box.exec(["no-such-program"]);
    assert.equal(missing.exitCode, 127);
  },

  async "a consumer of the log from the start on"() {
    let seen = "";
    await using box = await new GenericContainer("busybox")
      .withCommand(["sh", "-c", "echo begun; sleep 0.2; echo e >&2; exec sleep 1000"])
      .withLogConsumer((stream) =>
        stream.on("data", (line) => {
          seen += line;
        }),
      )
      .start();
    await until(() => (seen.includes("begun\n") && seen.includes("e\n")) || undefined);
    assert.ok(box.getId());
  },

  async "restart keeps the container, and its files"() {
    await using box = await server().start();
    await box.exec("touch /kept");
    await box.restart({ timeout: 0 });
    assert.equal((await box.exec("test -e /kept")).exitCode, 0);
    const answer = await fetch(`http://${box.getHost()}:${box.getMappedPort(8000)}/greeting`);
    assert.equal(await answer.text(), "served\n");
  },

  async "stop removes, unless it is told not to"() {
    const box = await idle().start();
    const kept = await box.stop({ timeout: 0, remove: false });
    assert.equal(await gone(kept.getId()), false);
    const chunks: Buffer[] = [];
    for await (const chunk of await kept.copyArchiveFromContainer("/etc/passwd"))
      chunks.push(Buffer.from(chunk));
    assert.match(filesOf(Buffer.concat(chunks)).passwd ?? "", /^root:/);
    const other = await idle().withAutoRemove(true).start();
    await other.stop({ timeout: 0 });
    assert.equal(await gone(other.getId()), true);
  },

  async "reuse finds what runs already, and starts what has stopped"() {
    const make = () => idle().withLabels({ of: "reuse" }).withReuse().start();
    const one = await make();
    const two = await make();
    assert.equal(one.getId(), two.getId());
    await two.stop({ remove: false, timeout: 0 });
    const three = await make();
    assert.equal(three.getId(), one.getId());
    await three.stop({ timeout: 0 });
  },

  async "commit makes an image for later containers"() {
    await using box = await idle().start();
    await box.exec(["sh", "-c", "echo kept > /kept"]);
    const id = await box.commit({
      repo: "of-tc",
      tag: "1",
      changes: ["ENV SET=1"],
      deleteOnExit: false,
    });
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    await using later = await new GenericContainer("of-tc:1").start();
    assert.equal((await later.exec(["sh", "-c", "cat /kept; echo $SET"])).output, "kept\n1\n");
  },

  async "privileged, network mode, ipc mode, log driver and platform"() {
    await using box = await idle()
      .withPrivilegedMode()
      .withNetworkMode("none")
      .withIpcMode("host")
      .withDefaultLogDriver()
      .withPlatform("linux/amd64")
      .start();
    assert.deepEqual(box.getNetworkNames(), ["none"]);
  },

  async "an image built of a Dockerfile"() {
    const context = join(directory, "built");
    mkdirSync(context);
    writeFileSync(
      join(context, "Dockerfile"),
      'FROM busybox AS one\nARG WHO\nRUN echo "for $WHO" > /who\nCMD ["sleep", "1000"]\nFROM one\nRUN rm /who\n',
    );
    const image = await GenericContainer.fromDockerfile(context)
      .withBuildArgs({ WHO: "tests" })
      .withTarget("one")
      .build("tc-built:1", { deleteOnExit: false });
    await using box = await image.start();
    assert.equal((await box.exec(["cat", "/who"])).output, "for tests\n");
  },

  async "what is left running is the reaper's"() {
    const left = await idle().withLabels({ left: "behind" }).start();
    assert.equal(await gone(left.getId()), false);
  },
};

await play(scenarios);

/** The first thing that a stream says. */
async function first(stream: Readable): Promise<string> {
  for await (const chunk of stream) return String(chunk);
  return "";
}
