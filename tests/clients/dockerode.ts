/**
 * What programs do with dockerode, against the daemon that DOCKER_HOST names.
 */
import assert from "node:assert/strict";
import { PassThrough, Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import Docker from "dockerode";
import { play, type Scenarios, textOf, until } from "./scenarios.ts";
import { filesOf, tarOf } from "./tars.ts";

const docker = new Docker();

type Options = Docker.ContainerCreateOptions;

/** A container that is gone after `use`. */
async function using(options: Options, use: (box: Docker.Container) => Promise<void>) {
  const box = await docker.createContainer({ Image: "busybox", ...options });
  try {
    await use(box);
  } finally {
    await box.remove({ force: true, v: true }).catch((error: { statusCode?: number }) => {
      if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
    });
  }
}

const sleeper: Options = { Cmd: ["sleep", "1000"] };

async function running(options: Options, use: (box: Docker.Container) => Promise<void>) {
  await using(options, async (box) => {
    await box.start();
    await use(box);
  });
}

/** Both outputs of a stream that holds them in frames. */
async function framesOf(stream: NodeJS.ReadableStream): Promise<{ out: string; err: string }> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, out, err);
  stream.on("end", () => {
    out.end();
    err.end();
  });
  const [first, second] = await Promise.all([textOf(out), textOf(err)]);
  return { out: first, err: second };
}

/** An exec's outputs and exit code. */
async function execute(box: Docker.Container, options: Docker.ExecCreateOptions, input?: string) {
  const exec = await box.exec({ AttachStdout: true, AttachStderr: true, ...options });
  const stream = await exec.start({ hijack: true, stdin: options.AttachStdin === true });
  const frames = framesOf(stream);
  if (input !== undefined) stream.end(input);
  const { out, err } = await frames;
  return { out, err, code: (await exec.inspect()).ExitCode };
}

/** The status code of the error that a call ends with. */
async function refusal(call: Promise<unknown>): Promise<{ status: number; message: string }> {
  const error = (await call.then(
    () => ({ statusCode: 200, json: { message: "it was granted" } }),
    (reason) => reason,
  )) as { statusCode: number; json: { message: string } };
  return { status: error.statusCode, message: error.json.message };
}

/** A stream of lines of JSON, as it comes. */
function objectsOf<T>(stream: NodeJS.ReadableStream): T[] {
  const objects: T[] = [];
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    objects.push(...lines.filter(Boolean).map((line) => JSON.parse(line) as T));
  });
  return objects;
}

const scenarios: Scenarios = {
  async "the daemon says what it is"() {
    assert.equal((await docker.ping()).toString(), "OK");
    const version = await docker.version();
    assert.equal(version.ApiVersion, "1.51");
    assert.equal(version.Os, "linux");
    const info = await docker.info();
    assert.equal(info.OSType, "linux");
    assert.equal(info.CgroupDriver, "cgroupfs");
    assert.ok(info.MemTotal > 0 && info.NCPU > 0);
  },

  async "run, with both outputs and the exit code"() {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const [result, box] = await docker.run(
      "busybox",
      ["sh", "-c", "echo out; echo err >&2; exit 3"],
      [out, err],
      { Tty: false },
    );
    assert.equal(result.StatusCode, 3);
    assert.deepEqual(await Promise.all([textOf(out), textOf(err)]), ["out\n", "err\n"]);
    await box.remove();
  },

  async "run on a terminal, and with AutoRemove"() {
    const out = new PassThrough();
    const [result, box] = await docker.run("busybox", ["sh", "-c", "tty; echo -n end"], out, {
      HostConfig: { AutoRemove: true },
    });
    assert.equal(result.StatusCode, 0);
    assert.equal(await textOf(out), "/dev/pts/0\r\nend");
    await until(async () => (await refusal(box.inspect())).status === 404 || undefined);
  },

  async "attach before the start: input, half-close, output, end"() {
    await using(
      { Cmd: ["sh", "-c", "cat; echo ended >&2"], OpenStdin: true, StdinOnce: true },
      async (box) => {
        const stream = await box.attach({
          stream: true,
          hijack: true,
          stdin: true,
          stdout: true,
          stderr: true,
        });
        const frames = framesOf(stream);
        await box.start();
        stream.write("typed ");
        stream.end("text");
        assert.deepEqual(await frames, { out: "typed text", err: "ended\n" });
        assert.equal((await box.wait()).StatusCode, 0);
      },
    );
  },

  async "attach to a terminal, resize it, and detach"() {
    await running({ Cmd: ["sh"], Tty: true, OpenStdin: true }, async (box) => {
      const stream = await box.attach({
        stream: true,
        hijack: true,
        stdin: true,
        stdout: true,
        stderr: true,
        detachKeys: "ctrl-x",
      });
      let shown = "";
      stream.on("data", (chunk: Buffer) => {
        shown += chunk.toString();
      });
      const ended = new Promise((resolve) => stream.on("end", resolve));
      await box.resize({ h: 31, w: 97 });
      stream.write("stty size\n");
      await until(() => shown.includes("31 97\r\n") || undefined);
      stream.write("\u0018");
      await ended;
      assert.equal((await box.inspect()).State.Running, true);
    });
  },

  async "exec: outputs, exit code, input, environment, user, directory, terminal"() {
    await running(sleeper, async (box) => {
      const script = ["sh", "-c", "echo $GIVEN; pwd >&2; id -u; exit 7"];
      assert.deepEqual(
        await execute(box, { Cmd: script, Env: ["GIVEN=x"], User: "65534", WorkingDir: "/tmp" }),
        { out: "x\n65534\n", err: "/tmp\n", code: 7 },
      );
      const text = "line\n".repeat(50_000);
      assert.deepEqual(await execute(box, { Cmd: ["cat"], AttachStdin: true }, text), {
        out: text,
        err: "",
        code: 0,
      });
      const exec = await box.exec({ Cmd: ["sh", "-c", "tty"], Tty: true, AttachStdout: true });
      const stream = await exec.start({ Tty: true, hijack: true });
      assert.match(await textOf(stream), /^\/dev\/pts\/\d+\r\n$/);
      const detached = await box.exec({ Cmd: ["touch", "/made"] });
      await detached.start({ Detach: true });
      await until(async () => (await detached.inspect()).Running === false || undefined);
      assert.equal((await detached.inspect()).ExitCode, 0);
      const plain = await box.exec({ Cmd: ["ls", "/made"], AttachStdout: true });
      assert.equal((await framesOf(await plain.start({}))).out, "/made\n");
    });
  },

  async "logs: whole, tail, timestamps, one stream, and followed to the end"() {
    const script = "echo 1; echo 2; echo e >&2; while [ ! -e /go ]; do sleep 0.05; done; echo 3";
    await running({ Cmd: ["sh", "-c", script] }, async (box) => {
      const follower = await box.logs({ follow: true, stdout: true, stderr: true });
      const followed = framesOf(follower);
      const whole = () => box.logs({ stdout: true, stderr: true });
      await until(async () => (await whole()).toString().includes("e\n") || undefined);
      await execute(box, { Cmd: ["touch", "/go"] });
      assert.deepEqual(await followed, { out: "1\n2\n3\n", err: "e\n" });
      const last = await box.logs({ stdout: true, tail: 1, timestamps: true });
      assert.match(last.subarray(8).toString(), /^\d{4}-\d\d-\d\dT[\d:.]+Z 3\n$/);
      assert.equal((await box.logs({ stderr: true })).subarray(8).toString(), "e\n");
    });
  },

  async "stats: one, and a stream of them"() {
    await running({ ...sleeper, HostConfig: { Memory: 64 << 20 } }, async (box) => {
      const once = await box.stats({ stream: false });
      assert.equal(once.memory_stats.limit, 64 << 20);
      assert.ok(once.cpu_stats.cpu_usage.total_usage > 0 && (once.pids_stats?.current ?? 0) >= 1);
      assert.ok(once.networks.eth0);
      const stream = (await box.stats({ stream: true })) as Readable;
      const samples = objectsOf<Docker.ContainerStats>(stream);
      await until(() => samples.length >= 2 || undefined);
      assert.notEqual(samples[0]?.read, samples[1]?.read);
      assert.equal(samples[1]?.preread, samples[0]?.read);
      stream.destroy();
    });
  },

  async "events: what happens to a container, live and after"() {
    const since = Math.floor(Date.now() / 1000);
    const filters = { label: ["of=events"], type: ["container" as const] };
    const stream = (await docker.getEvents({ filters })) as Readable;
    const seen = objectsOf<{ Action: string; Actor: { ID: string } }>(stream);
    let id = "";
    await running({ ...sleeper, Labels: { of: "events" } }, async (box) => {
      id = box.id;
      await box.kill();
      await box.wait();
    });
    await until(() => seen.some(({ Action }) => Action === "destroy") || undefined);
    const actions = ["create", "start", "kill", "die", "destroy"];
    assert.deepEqual(
      seen.map(({ Action }) => Action),
      actions,
    );
    assert.ok(seen.every(({ Actor }) => Actor.ID === id));
    stream.destroy();
    const past = { since, until: Math.ceil(Date.now() / 1000), filters };
    const told = (await textOf((await docker.getEvents(past)) as Readable)).trim().split("\n");
    assert.deepEqual(
      told.map((line) => JSON.parse(line).Action),
      actions,
    );
  },

  async "archives: put one in, get it out, look a path up"() {
    await running(sleeper, async (box) => {
      await box.putArchive(tarOf({ "dir/note": "text" }), { path: "/tmp" });
      await box.putArchive(gzipSync(tarOf({ zipped: "z" })), { path: "/tmp" });
      const packed = await box.getArchive({ path: "/tmp/dir" });
      assert.deepEqual(filesOf(await bytesOf(packed)), { "dir/note": "text" });
      assert.equal((await execute(box, { Cmd: ["cat", "/tmp/zipped"] })).out, "z");
      const info = await box.infoArchive({ path: "/tmp/dir/note" });
      const header = (info as unknown as { headers: Record<string, string> }).headers;
      const stat = JSON.parse(
        Buffer.from(header["x-docker-container-path-stat"] ?? "", "base64").toString(),
      );
      assert.equal(stat.name, "note");
      assert.equal(stat.size, 4);
      const refused = await refusal(box.putArchive(tarOf({ a: "" }), { path: "/nowhere" }));
      assert.equal(refused.status, 404);
    });
  },

  async "commit, export, history, and an image that is saved nowhere"() {
    await running({ Cmd: ["sh", "-c", "echo kept > /kept; sleep 1000"] }, async (box) => {
      await until(async () => {
        const changes = await box.changes();
        return changes.find(({ Path }: { Path: string }) => Path === "/kept");
      });
      const { Id } = await box.commit({
        repo: "by-dockerode",
        tag: "1",
        author: "me",
        comment: "c",
      });
      const image = docker.getImage("by-dockerode:1");
      const inspected = await image.inspect();
      assert.equal(inspected.Id, Id);
      assert.equal(inspected.Author, "me");
      assert.equal((await image.history())[0]?.Comment, "c");
      assert.equal(filesOf(await bytesOf(await box.export()), "kept").kept, "kept\n");
      const [result, second] = await docker.run(
        "by-dockerode:1",
        ["cat", "/kept"],
        new PassThrough(),
      );
      assert.equal(result.StatusCode, 0);
      await second.remove();
      const removed = await image.remove();
      assert.ok(removed.some((step: object) => "Deleted" in step));
    });
  },

  async "wait: for the next end, for a removal"() {
    await using({ Cmd: ["sh", "-c", "exit 5"] }, async (box) => {
      const next = box.wait({ condition: "next-exit" });
      await box.start();
      assert.equal((await next).StatusCode, 5);
      const removed = box.wait({ condition: "removed" });
      await box.remove();
      assert.equal((await removed).StatusCode, 5);
    });
  },

  async "wait: after a container has ended and removed itself"() {
    const removing = { Cmd: ["sh", "-c", "exit 6"], HostConfig: { AutoRemove: true } };
    await running(removing, async (box) => {
      await until(async () => (await refusal(box.inspect())).status === 404 || undefined);
      assert.equal((await box.wait()).StatusCode, 6);
      assert.equal((await box.wait({ condition: "removed" })).StatusCode, 6);
      assert.equal((await refusal(box.wait({ condition: "next-exit" }))).status, 404);
    });
  },

  async "life: pause, unpause, rename, update, restart, stop, top"() {
    await running({ ...sleeper, StopSignal: "SIGKILL" }, async (box) => {
      await box.pause();
      assert.equal((await box.inspect()).State.Status, "paused");
      await box.unpause();
      await box.rename({ name: "renamed-by-dockerode" });
      assert.equal((await docker.getContainer("renamed-by-dockerode").inspect()).Id, box.id);
      await box.update({
        PidsLimit: 50,
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 },
      });
      assert.equal((await box.inspect()).HostConfig.PidsLimit, 50);
      const processes = await box.top({ ps_args: "-o pid,args" });
      assert.deepEqual(processes.Titles, ["PID", "COMMAND"]);
      assert.equal(processes.Processes[0]?.[1], "sleep 1000");
      const first = (await box.inspect()).State.Pid;
      await box.restart();
      assert.notEqual((await box.inspect()).State.Pid, first);
      await box.stop();
      assert.equal((await refusal(box.stop())).status, 304);
      assert.equal((await box.inspect()).State.Status, "exited");
    });
  },

  async "listing with filters, and prune"() {
    await running(
      { ...sleeper, name: "listed-one", Labels: { of: "list", n: "1" } },
      async (one) => {
        await using({ name: "listed-two", Labels: { of: "list", n: "2" } }, async (two) => {
          const list = async (filters: Record<string, string[]>, all = true) =>
            (await docker.listContainers({ all, filters })).map(({ Id }) => Id);
          assert.deepEqual(await list({ label: ["of=list"] }), [two.id, one.id]);
          assert.deepEqual(await list({ label: ["of=list"] }, false), [one.id]);
          assert.deepEqual(await list({ label: ["of=list", "n=2"] }), [two.id]);
          assert.deepEqual(await list({ name: ["listed-one"] }), [one.id]);
          assert.deepEqual(await list({ status: ["created"], label: ["of=list"] }), [two.id]);
          assert.deepEqual(await list({ ancestor: ["busybox"], label: ["n=1"] }), [one.id]);
          const pruned = await docker.pruneContainers({ filters: { label: ["of=list"] } });
          assert.deepEqual(pruned.ContainersDeleted, [two.id]);
        });
      },
    );
  },

  async "a health check's course"() {
    await running(
      {
        ...sleeper,
        Healthcheck: { Test: ["CMD-SHELL", "test -e /healthy"], Interval: 5e7, Retries: 1 },
      },
      async (box) => {
        const health = async () => (await box.inspect()).State.Health;
        await until(async () => (await health())?.Status === "unhealthy" || undefined);
        await execute(box, { Cmd: ["touch", "/healthy"] });
        await until(async () => (await health())?.Status === "healthy" || undefined);
        assert.equal((await health())?.FailingStreak, 0);
      },
    );
  },

  async "ports, mounts, labels and environment as inspect tells them"() {
    await docker.createVolume({ Name: "dockerode-data", Labels: { of: "dockerode" } });
    const volume = docker.getVolume("dockerode-data");
    await running(
      {
        Cmd: ["sh", "-c", "echo served > /www/index.html; exec httpd -f -h /www"],
        Env: ["GIVEN=1"],
        ExposedPorts: { "80/tcp": {} },
        HostConfig: {
          PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "0" }] },
          Binds: ["dockerode-data:/www"],
          Tmpfs: { "/scratch": "size=1m" },
        },
      },
      async (box) => {
        const { NetworkSettings, Mounts, Config } = await box.inspect();
        const port = NetworkSettings.Ports["80/tcp"]?.[0]?.HostPort;
        const answer = () => fetch(`http://127.0.0.1:${port}/index.html`).catch(() => undefined);
        const served = await until(answer);
        assert.equal(await served.text(), "served\n");
        assert.equal(Mounts[0]?.Name, "dockerode-data");
        assert.ok(Config.Env.includes("GIVEN=1"));
        assert.equal((await refusal(volume.remove())).status, 409);
      },
    );
    const { Volumes } = await docker.listVolumes({ filters: { label: ["of=dockerode"] } });
    assert.deepEqual(
      Volumes.map(({ Name }) => Name),
      ["dockerode-data"],
    );
    await volume.remove();
  },

  async "errors: a status and Docker's words"() {
    assert.deepEqual(await refusal(docker.getContainer("nope").inspect()), {
      status: 404,
      message: "No such container: nope",
    });
    assert.equal((await refusal(docker.createContainer({ Image: "nope:1" }))).status, 404);
    await running({ ...sleeper, name: "taken-by-dockerode" }, async (box) => {
      const again = docker.createContainer({ Image: "busybox", name: "taken-by-dockerode" });
      assert.equal((await refusal(again)).status, 409);
      assert.equal((await refusal(box.remove())).status, 409);
      assert.equal((await refusal(box.start())).status, 304);
      const exec = await refusal(box.exec({ Cmd: [] }));
      assert.equal(exec.status, 400);
    });
  },

  async "an image that is here is pulled with progress to its end"() {
    const stream = await docker.pull("busybox:latest");
    const steps = await new Promise<{ status: string }[]>((resolve, reject) => {
      docker.modem.followProgress(stream, (error, output) =>
        error === null ? resolve(output) : reject(error),
      );
    });
    assert.match(steps.at(-1)?.status ?? "", /^Status: Image is up to date for busybox:latest/);
  },

  async "builds, with progress to their end, of an archive and of a directory"() {
    const steps = (stream: NodeJS.ReadableStream) =>
      new Promise<{ stream?: string; error?: string; aux?: { ID: string } }[]>((resolve) => {
        docker.modem.followProgress(stream, (_error, output) => resolve(output));
      });
    const dockerfile = "FROM busybox\nARG A\nCOPY f /f\nRUN echo $A >> /f\n";
    const archive = tarOf({ "its/Dockerfile": dockerfile, f: "packed\n" });
    const options = { t: "node-built:1", dockerfile: "its/Dockerfile", buildargs: { A: "argued" } };
    const built = await steps(await docker.buildImage(Readable.from([gzipSync(archive)]), options));
    assert.match(
      built.map(({ stream = "" }) => stream).join(""),
      /Successfully tagged node-built:1/,
    );
    assert.match(built.find(({ aux }) => aux)?.aux?.ID ?? "", /^sha256:[0-9a-f]{64}$/);
    await using({ Image: "node-built:1", Cmd: ["true"] }, async (box) => {
      const packed = await bytesOf(await box.getArchive({ path: "/f" }));
      assert.equal(filesOf(packed).f, "packed\nargued\n");
    });
    await docker.getImage("node-built:1").remove();
    const failing = tarOf({ Dockerfile: "FROM busybox\nRUN exit 9\n" });
    const failed = await steps(await docker.buildImage(Readable.from([failing]), {}));
    assert.match(failed.at(-1)?.error ?? "", /returned a non-zero code: 9/);
  },

  async df() {
    const usage = await docker.df();
    assert.ok(usage.Images.length > 0 && Array.isArray(usage.Volumes));
  },
};

await play(scenarios);

async function bytesOf(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
}
