/** Requests that make no sense get a 4xx with a message, never a 500, and the daemon goes on. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

/** Values that fields do not expect. */
const oddities: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  1.5,
  "",
  "\0",
  "../../etc",
  "a".repeat(70_000),
  [],
  [[]],
  [null],
  {},
  { a: { b: {} } },
  "\ud800",
];
const fields = [
  "Image",
  "Cmd",
  "Entrypoint",
  "Env",
  "User",
  "WorkingDir",
  "Hostname",
  "Labels",
  "Volumes",
  "ExposedPorts",
  "StopSignal",
  "Tty",
  "MacAddress",
  "HostConfig",
  "NetworkingConfig",
];
const hostFields = [
  "Binds",
  "Mounts",
  "Memory",
  "NanoCpus",
  "CpusetCpus",
  "PidsLimit",
  "PortBindings",
  "NetworkMode",
  "PidMode",
  "IpcMode",
  "CapAdd",
  "SecurityOpt",
  "Sysctls",
  "Ulimits",
  "Tmpfs",
  "Devices",
  "LogConfig",
  "RestartPolicy",
  "ShmSize",
  "Runtime",
  "ExtraHosts",
  "GroupAdd",
  "OomScoreAdj",
  "CgroupParent",
  "BlkioWeightDevice",
  "Dns",
];

function deep(levels: number): string {
  return `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
}

async function check(method: string, path: string, body?: unknown): Promise<void> {
  const { status, text } = await daemon.api(method, path, body);
  const shown = `${method} ${path.slice(0, 80)} ${JSON.stringify(body)?.slice(0, 120)} -> ${status} ${text.slice(0, 200)}`;
  expect(status, shown).toBeLessThan(500);
  if (status >= 400) expect((JSON.parse(text) as { message: string }).message, shown).not.toBe("");
}

test("every field of create with every odd value", async () => {
  for (const value of oddities) {
    for (const field of fields)
      await check("POST", "/containers/create", { Image: "busybox", [field]: value });
    for (const field of hostFields)
      await check("POST", "/containers/create", {
        Image: "busybox",
        HostConfig: { [field]: value },
      });
  }
});

test("containers that such a create let through end in an error of the user's, not of berth's", async () => {
  const ids = (await daemon.berth("ps", "-aq")).out.split("\n").filter(Boolean);
  for (const id of ids) {
    const { status, text } = await daemon.api("POST", `/containers/${id}/start`);
    expect(text).not.toContain("internal error");
    expect(status).toBeLessThanOrEqual(500);
    await daemon.berth("rm", "-f", id);
  }
});

test("bodies that are no JSON, paths that are no names, numbers that are none", async () => {
  for (const body of ["{", "[]", '"x"', "nonsense", deep(50_000), '{"Image":1e999}', "\u0000"])
    await check("POST", "/containers/create", body);
  for (const name of [
    "..",
    "%2e%2e%2f%2e%2e",
    "%00",
    "a%00b",
    "%zz",
    "x".repeat(5000),
    "%ff%fe",
    "a/b/c",
  ]) {
    await check("GET", `/containers/${name}/json`);
    await check("POST", `/containers/${name}/start`);
    await check("DELETE", `/containers/${name}`);
    await check("GET", `/images/${name}/json`);
    await check("DELETE", `/images/${name}`);
    await check("GET", `/volumes/${name}`);
    await check("DELETE", `/volumes/${name}`);
    await check("GET", `/exec/${name}/json`);
    await check("POST", "/volumes/create", { Name: decodeSafely(name) });
    await check("POST", `/containers/create?name=${name}`, { Image: "busybox", Cmd: ["true"] });
  }
  for (const query of [
    "limit=x",
    "filters=x",
    "filters=[]",
    'filters={"a":1}',
    'filters={"nosuch":["a"]}',
    "limit=99999999999999999999",
  ])
    await check("GET", `/containers/json?${query}`);
  for (const version of ["v1.23", "v1.52", "v9.9"])
    expect((await daemon.api("GET", `/${version}/info`)).status).toBe(400);
  expect((await daemon.api("GET", "/v1.24/info")).status).toBe(200);
  expect((await daemon.api("GET", "/nowhere")).status).toBe(404);
});

function decodeSafely(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

test("the daemon is well afterwards and has logged no bug of its own", async () => {
  const ids = (await daemon.berth("ps", "-aq")).out.split("\n").filter(Boolean);
  if (ids.length > 0) await daemon.berth("rm", "-f", ...ids);
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "well")).out).toBe("well\n");
  expect(daemon.log).not.toContain("a bug in berth");
});
