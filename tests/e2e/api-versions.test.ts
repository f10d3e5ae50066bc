/** Clients of every API version since 1.24: requests mean what they meant then, and answers have the fields that they expect. */
import { beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const RAW = "application/vnd.docker.raw-stream";
const MULTIPLEXED = "application/vnd.docker.multiplexed-stream";

/** The head of an answer, as it comes; the connection is closed then. */
function headOf(request: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket = connect(daemon.socket, () => socket.write(request.replaceAll("\n", "\r\n")));
  socket.on("error", reject);
  socket.on("close", () => resolve(text));
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
    if (text.includes("\r\n\r\n")) socket.destroy();
  });
  return promise;
}

async function typeOf(request: string): Promise<string | undefined> {
  return /^content-type: (.*)\r$/im.exec(await headOf(request))?.[1];
}

async function json<T>(method: string, path: string, body?: unknown): Promise<T> {
  const { status, text } = await daemon.api(method, path, body);
  expect([path, status, status < 300 ? "" : text]).toEqual([path, status, ""]);
  return JSON.parse(text) as T;
}

interface Created {
  readonly Id: string;
  readonly Warnings: readonly string[];
}

/** Creates a container in a version's way and gives fields of what came of it. */
async function create(version: string, body: object, format: string): Promise<string> {
  const made = await json<Created>("POST", `${version}/containers/create`, {
    Image: "busybox",
    ...body,
  });
  const shown = await daemon.inspect(made.Id, format);
  expect((await daemon.berth("rm", "-f", "-v", made.Id)).status).toBe(0);
  return shown;
}

beforeAll(async () => {
  const run = ["run", "-d", "--name", "plain", "busybox", "sleep", "1000"];
  expect((await daemon.berth(...run)).status).toBe(0);
  const withTerminal = ["run", "-dt", "--name", "term", "busybox", "sleep", "1000"];
  expect((await daemon.berth(...withTerminal)).status).toBe(0);
});

test("output has one media type before 1.42 and two since; its form is the same", async () => {
  const logs = (version: string, name: string) =>
    typeOf(`GET /${version}/containers/${name}/logs?stdout=1 HTTP/1.1\nHost: x\n\n`);
  expect(await logs("v1.41", "plain")).toBe(RAW);
  expect(await logs("v1.42", "plain")).toBe(MULTIPLEXED);
  expect(await logs("v1.51", "term")).toBe(RAW);
  const attach = (version: string, more = "") =>
    typeOf(
      `POST /${version}/containers/plain/attach?stream=1&stdout=1 HTTP/1.1\nHost: x\nContent-Length: 0\n${more}\n`,
    );
  const upgrade = "Connection: Upgrade\nUpgrade: tcp\n";
  expect([await attach("v1.41"), await attach("v1.41", upgrade)]).toEqual([RAW, RAW]);
  expect([await attach("v1.42"), await attach("v1.42", upgrade)]).toEqual([
    MULTIPLEXED,
    MULTIPLEXED,
  ]);
});

test("before 1.30 a wait says nothing, not even its head, until the end, and knows no condition", async () => {
  const wait = (version: string) =>
    headOf(
      `POST /${version}/containers/ends/wait?condition=${version === "v1.29" ? "any" : ""} HTTP/1.1\nHost: x\nContent-Length: 0\n\n`,
    );
  expect((await daemon.berth("create", "--name", "ends", "busybox", "true")).status).toBe(0);
  expect((await daemon.berth("start", "ends")).status).toBe(0);
  expect(await wait("v1.29")).toContain(" 200 ");
  expect((await daemon.api("POST", "/v1.30/containers/ends/wait?condition=any")).status).toBe(400);
  expect((await daemon.berth("rm", "ends")).status).toBe(0);
  const run = ["run", "-d", "--name", "lasts", "busybox", "sleep", "1000"];
  expect((await daemon.berth(...run)).status).toBe(0);
  let told = false;
  const old = headOf(
    "POST /v1.29/containers/lasts/wait HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
  ).finally(() => {
    told = true;
  });
  // One that came later has its head already.
  await headOf("POST /v1.30/containers/lasts/wait HTTP/1.1\nHost: x\nContent-Length: 0\n\n");
  expect(told).toBe(false);
  expect((await daemon.berth("rm", "-f", "lasts")).status).toBe(0);
  expect(await old).toContain(" 200 ");
});

test("a creation means what its version meant", async () => {
  const host = (HostConfig: object) => ({ HostConfig });
  const removes = host({ AutoRemove: true });
  expect(await create("/v1.24", removes, "{{.HostConfig.AutoRemove}}")).toBe("false");
  expect(await create("/v1.25", removes, "{{.HostConfig.AutoRemove}}")).toBe("true");
  expect(await create("/v1.39", {}, "{{.HostConfig.IpcMode}}")).toBe("shareable");
  expect(await create("/v1.40", {}, "{{.HostConfig.IpcMode}}")).toBe("private");
  expect(await create("/v1.39", host({ IpcMode: "private" }), "{{.HostConfig.IpcMode}}")).toBe(
    "private",
  );
  const info = await json<{ CgroupVersion: string }>("GET", "/info");
  expect(await create("/v1.40", {}, "{{.HostConfig.CgroupnsMode}}")).toBe(
    info.CgroupVersion === "1" ? "host" : "private",
  );
  expect(await create("/v1.41", {}, "{{.HostConfig.CgroupnsMode}}")).toBe("private");
  const sized = host({ ConsoleSize: [20, 70], Annotations: { a: "b" } });
  const both = "{{.HostConfig.ConsoleSize}} {{json .HostConfig.Annotations}}";
  expect(await create("/v1.41", sized, both)).toBe("[0 0] null");
  expect(await create("/v1.43", sized, both)).toBe('[20 70] {"a":"b"}');
  const checked = { Healthcheck: { Test: ["CMD", "true"], StartInterval: 5e9 } };
  expect(await create("/v1.43", checked, "{{json .Config.Healthcheck}}")).toBe(
    '{"Test":["CMD","true"]}',
  );
  expect(await create("/v1.44", checked, "{{json .Config.Healthcheck}}")).toBe(
    '{"Test":["CMD","true"],"StartInterval":5000000000}',
  );
});

test("what a version does not have is refused where its loss would be dangerous, and ignored elsewhere", async () => {
  const mounted = async (version: string, mount: object) => {
    const { status, text } = await daemon.api("POST", `${version}/containers/create`, {
      Image: "busybox",
      HostConfig: { Mounts: [{ Target: "/m", ...mount }] },
    });
    const answer = JSON.parse(text) as { Id?: string; message?: string };
    if (answer.Id !== undefined) await daemon.berth("rm", "-v", answer.Id);
    return [status, answer.message ?? ""];
  };
  const needs = (what: string, version: string) => [400, `${what} needs API v${version} or newer`];
  const made = [201, ""];
  const deep = { Type: "bind", Source: "/tmp", BindOptions: { ReadOnlyForceRecursive: true } };
  expect(await mounted("/v1.43", deep)).toEqual(
    needs("BindOptions.ReadOnlyForceRecursive", "1.44"),
  );
  const part = { Type: "volume", Source: "parts", VolumeOptions: { Subpath: "a" } };
  expect(await mounted("/v1.44", part)).toEqual(needs("VolumeOptions.Subpath", "1.45"));
  expect(await mounted("/v1.47", { Type: "image", Source: "busybox" })).toEqual(
    needs('Mount type "Image"', "1.48"),
  );
  const foreign = { Type: "bind", Source: "/tmp", VolumeOptions: { NoCopy: true } };
  expect(await mounted("/v1.41", foreign)).toEqual(made);
  expect(await mounted("/v1.42", foreign)).toEqual([
    400,
    'VolumeOptions must not be specified on mount type "bind"',
  ]);
  const missing = { Type: "bind", Source: "/no/such", BindOptions: { CreateMountpoint: true } };
  expect(await mounted("/v1.41", missing)).toEqual([
    400,
    'invalid mount config for type "bind": bind source path does not exist: /no/such',
  ]);
  const platform = "platform=linux/s390x";
  expect(
    (await daemon.api("POST", `/v1.41/containers/create?${platform}`, { Image: "busybox" })).status,
  ).toBe(404);
  const old = await json<Created>("POST", `/v1.40/containers/create?${platform}`, {
    Image: "busybox",
  });
  expect((await daemon.berth("rm", old.Id)).status).toBe(0);
});

test("a MAC address belongs to the container before 1.44, and to its endpoint since", async () => {
  const mac = "02:42:ac:11:00:77";
  const asked = {
    Image: "busybox",
    Cmd: ["cat", "/sys/class/net/eth0/address"],
    NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: mac } } },
  };
  const address = async (version: string, body: object) => {
    const { Id, Warnings } = await json<Created>("POST", `${version}/containers/create`, body);
    const { out } = await daemon.berth("start", "-a", Id);
    await daemon.berth("rm", Id);
    return [out.trim(), ...Warnings];
  };
  expect(await address("/v1.44", asked)).toEqual([mac]);
  expect((await address("/v1.43", asked))[0]).not.toBe(mac);
  const whole = { ...asked, MacAddress: mac, NetworkingConfig: {} };
  expect(await address("/v1.43", whole)).toEqual([mac]);
  expect(await address("/v1.44", whole)).toEqual([
    mac,
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.",
  ]);
});

test("a size for a terminal, a signal for a stop, a limit of processes: ignored before they were there", async () => {
  const sized = async (version: string) => {
    const body = { Cmd: ["stty", "size"], Tty: true, AttachStdout: true, ConsoleSize: [33, 77] };
    const { Id } = await json<Created>("POST", `${version}/containers/plain/exec`, body);
    return (await daemon.api("POST", `${version}/exec/${Id}/start`, { Tty: true })).text.trim();
  };
  expect(await sized("/v1.42")).toBe("33 77");
  expect(await sized("/v1.41")).not.toBe("33 77");

  await json("POST", "/v1.39/containers/plain/update", { PidsLimit: 99 });
  expect(await daemon.inspect("plain", "{{.HostConfig.PidsLimit}}")).toBe("<nil>");
  await json("POST", "/v1.40/containers/plain/update", { PidsLimit: 99 });
  expect(await daemon.inspect("plain", "{{.HostConfig.PidsLimit}}")).toBe("99");

  const trap = "trap 'exit 4' USR1; trap 'exit 5' TERM; while :; do sleep 0.05; done";
  const stopped = async (version: string) => {
    expect(
      (await daemon.berth("run", "-d", "--name", "st", "busybox", "sh", "-c", trap)).status,
    ).toBe(0);
    expect((await daemon.api("POST", `${version}/containers/st/stop?signal=SIGUSR1`)).status).toBe(
      204,
    );
    const code = await daemon.inspect("st", "{{.State.ExitCode}}");
    await daemon.berth("rm", "st");
    return code;
  };
  expect([await stopped("/v1.41"), await stopped("/v1.42")]).toEqual(["5", "4"]);
});

test("answers have the fields of their version", async () => {
  type Fields = Record<string, unknown>;
  const at = (version: string, path: string) => json<Fields>("GET", `${version}${path}`);
  const names = async (version: string, path: string) => Object.keys(await at(version, path));
  const image = "/images/busybox/json";
  expect(await names("/v1.43", image)).toEqual(
    expect.arrayContaining(["VirtualSize", "Container"]),
  );
  expect(await names("/v1.45", image)).not.toContain("Container");
  expect(await names("/v1.44", image)).not.toContain("VirtualSize");
  type Image = { readonly Config: Fields };
  const config = async (version: string) => (await json<Image>("GET", version + image)).Config;
  expect(await config("/v1.49")).toMatchObject({ Hostname: "", Tty: false, Volumes: null });
  expect(await config("/v1.50")).toMatchObject({ User: "", WorkingDir: "" });
  expect(await config("/v1.50")).not.toHaveProperty("Hostname");
  const images = (version: string) => json<Fields[]>("GET", `${version}/images/json`);
  const [old, now] = [await images("/v1.43"), await images("/v1.51")];
  expect([old[0]?.VirtualSize, old[0]?.Containers]).toEqual([old[0]?.Size, -1]);
  expect([now[0]?.VirtualSize, now[0]?.Containers]).toEqual([undefined, 2]);
  const info = await at("/v1.24", "/info");
  expect(info.ExecutionDriver).toBe("<not supported>");
  expect(info.SecurityOptions).toContain("seccomp");
  expect(info).not.toHaveProperty("FirewallBackend");
  expect(await at("/v1.48", "/info")).toHaveProperty("RuncCommit.Expected");
  const newest = await at("/v1.51", "/info");
  expect(newest).toHaveProperty("FirewallBackend");
  expect(newest).not.toHaveProperty("RuncCommit.Expected");
  expect(newest).not.toHaveProperty("BridgeNfIptables");
});

test("the oldest way to filter images, and volumes that older prunes took with them", async () => {
  const found = async (path: string) => (await json<unknown[]>("GET", path)).length;
  expect(await found("/v1.24/images/json?filter=busybox")).toBe(1);
  expect(await found("/v1.24/images/json?filter=other")).toBe(0);
  expect(await found("/v1.25/images/json?filter=other")).toBe(1);
  await json("POST", "/volumes/create", { Name: "named" });
  const prune = async (version: string) =>
    (await json<{ VolumesDeleted: string[] }>("POST", `${version}/volumes/prune`)).VolumesDeleted;
  expect(await prune("/v1.42")).not.toContain("named");
  expect(await prune("/v1.41")).toContain("named");
});

test("fields of a body are known in any case, as dockerd's decoder knows them", async () => {
  const body = { image: "busybox", cmd: ["echo", "small"], hostconfig: { networkmode: "none" } };
  const { Id } = await json<Created>("POST", "/containers/create", body);
  expect((await daemon.berth("start", "-a", Id)).out).toBe("small\n");
  expect(await daemon.inspect(Id, "{{.HostConfig.NetworkMode}}")).toBe("none");
  expect((await daemon.berth("rm", Id)).status).toBe(0);
});

test("filters in both forms that clients send", async () => {
  const list = async (filters: object) =>
    (
      await json<{ Names: string[] }[]>(
        "GET",
        `/v1.24/containers/json?filters=${encodeURIComponent(JSON.stringify(filters))}`,
      )
    ).map(({ Names }) => Names[0]);
  expect(await list({ name: ["plain"] })).toEqual(["/plain"]);
  expect(await list({ name: { plain: true } })).toEqual(["/plain"]);
});

test("OPTIONS is answered for every path", async () => {
  for (const path of ["/containers/json", "/v1.51/nothing/there"])
    expect(await daemon.api("OPTIONS", path)).toEqual({ status: 200, text: "" });
});

test("no version below 1.24 and none above the newest", async () => {
  expect(await daemon.api("GET", "/v1.23/info")).toEqual({
    status: 400,
    text: '{"message":"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}\n',
  });
  expect((await daemon.api("GET", "/v1.52/info")).status).toBe(400);
});

/** What a person does in a session; each step with what it prints. */
const walk: readonly (readonly [command: string, printed: RegExp])[] = [
  ["run --rm busybox echo hello", /^hello\n$/],
  [
    "run -d --name ww -v wv:/d -p 127.0.0.1::80 busybox sh -c 'echo out; echo err >&2; sleep 1000'",
    /^[0-9a-f]{64}\n$/,
  ],
  ["ps --format {{.Names}}", /^ww$/m],
  ["ps -a --filter name=ww --format {{.Status}}", /^Up /],
  ["exec ww echo inside", /^inside\n$/],
  ["exec -t ww echo terminal", /^terminal\r\n$/],
  ["logs ww", /^out\n$/],
  ["inspect -f {{.State.Running}} ww", /^true\n$/],
  ["stats --no-stream --format {{.Name}} ww", /^ww\n$/],
  ["top ww", /sleep 1000/],
  ["port ww", /^80\/tcp -> 127\.0\.0\.1:\d+\n$/],
  ["cp ww:/etc/hostname -", /^hostname\0/],
  ["diff ww", /^$|^[ACD] /],
  ["images --format {{.Repository}}", /^busybox$/m],
  ["commit ww walked", /^sha256:[0-9a-f]{64}\n$/],
  ["history -q walked", /^sha256:|^[0-9a-f]{12}/],
  ["rmi walked", /^Untagged: walked/],
  ["volume ls -q", /^wv$/m],
  ["volume inspect -f {{.Driver}} wv", /^local\n$/],
  ["network ls --format {{.Name}}", /^bridge\nhost\nnone\n$/],
  ["info --format {{.ServerVersion}}", /^\d/],
  ["version --format {{.Server.MinAPIVersion}}", /^1\.24\n$/],
  ["events --since 0 --until 1 --filter container=ww", /^$/],
  ["pause ww", /^ww\n$/],
  ["unpause ww", /^ww\n$/],
  ["update --memory 64m --memory-swap 64m ww", /^ww\n$/],
  ["rename ww w2", /^$/],
  ["restart -t 0 w2", /^w2\n$/],
  ["stop -t 0 w2", /^w2\n$/],
  ["wait w2", /^137\n$/],
  ["start -a nothing", /^$/],
  ["rm w2", /^w2\n$/],
  ["volume rm wv", /^wv\n$/],
];

/** Commands that a client refuses by itself in an old version. */
const since: Readonly<Record<string, string>> = { "system df": "1.25" };

/** Without what the container says, and what the client says when it goes while it still listens for its container's end. */
function errorsOf(text: string): string {
  return text.replace(/^err\n|^.*getting events from daemon: context canceled"\n/gm, "");
}

for (const version of ["1.24", "1.30", "1.40", "1.44", "1.51"])
  test(`the stock command line walks through a session in API ${version}`, async () => {
    const env = { DOCKER_API_VERSION: version };
    for (const [command, printed] of walk) {
      const args = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(
        ([, quoted, word]) => quoted ?? word ?? "",
      );
      const done = await daemon.dockerWith({ env }, ...args);
      const fails = command === "start -a nothing";
      expect([command, done.status !== 0, fails ? "" : errorsOf(done.err)]).toEqual([
        command,
        fails,
        "",
      ]);
      expect([command, done.out]).toEqual([command, expect.stringMatching(printed)]);
    }
    for (const [command, first] of Object.entries(since)) {
      const done = await daemon.dockerWith({ env }, ...command.split(" "));
      const knows = Number(version.slice(2)) >= Number(first.slice(2));
      expect([command, done.status === 0]).toEqual([command, knows]);
    }
    const fed = await daemon.dockerWith(
      { env, stdin: "through\n" },
      ...["run", "-i", "--rm", "busybox", "cat"],
    );
    expect([fed.out, fed.err, fed.status]).toEqual(["through\n", "", 0]);
    const failing = await daemon.dockerWith(
      { env },
      "run",
      "--rm",
      "busybox",
      "sh",
      "-c",
      "exit 7",
    );
    expect(failing.status).toBe(7);
    expect((await daemon.docker("ps", "-aq")).out.trim().split("\n")).toHaveLength(2);
  });
