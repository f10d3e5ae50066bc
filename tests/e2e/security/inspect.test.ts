/** `berth inspect --security`: what a container really has, seen from outside and compared with what it sees itself. */
import { expect, test } from "bun:test";
import type { SecurityReport } from "../../../src/spec/extensions.ts";
import { daemonOfFile } from "../../kits/daemon.ts";

const daemon = daemonOfFile();

async function report(name: string, ...flags: string[]): Promise<SecurityReport> {
  const started = await daemon.berth(
    "run",
    "-d",
    "--name",
    name,
    ...flags,
    "busybox",
    "sleep",
    "1000",
  );
  expect(started.err).toBe("");
  const { out } = await daemon.berth("inspect", "--security", "--format", "json", name);
  return JSON.parse(out) as SecurityReport;
}

test("a container as it is by default, and what it sees of itself", async () => {
  const plain = await report("plain");
  const own = (await daemon.berth("exec", "plain", "cat", "/proc/1/status")).out;
  const bounding = BigInt(`0x${/CapBnd:\s*(\S+)/.exec(own)?.[1]}`);
  expect(plain.Capabilities.Bounding).toHaveLength(bounding.toString(2).replaceAll("0", "").length);
  expect(plain).toMatchObject({
    Name: "plain",
    Pid: Number(await daemon.inspect("plain", "{{.State.Pid}}")),
    Capabilities: { Inheritable: [], Ambient: [] },
    NoNewPrivileges: false,
    Seccomp: { Mode: "filter", Filters: 1 },
  });
  const shared = plain.Namespaces.filter((one) => one.SharedWithHost).map(({ Type }) => Type);
  expect(shared.filter((type) => type !== "user" && type !== "time")).toEqual([]);
  expect(plain.MaskedPaths).toContain("/proc/keys");
  expect(plain.ReadonlyPaths).toEqual(expect.arrayContaining(["/proc/sys", "/sys"]));
  expect(plain.OpenDevices).toContain("c 1:3 /dev/null");
  expect(plain.Rlimits.find(({ Name }) => Name === "open files")?.Soft).toMatch(/^\d+$|unlimited/);
});

test("what is asked for shows, and nothing else", async () => {
  const bare = await report(
    "bare",
    ...[
      "--cap-drop",
      "ALL",
      "--cap-add",
      "NET_ADMIN",
      "--security-opt",
      "no-new-privileges",
      "-u",
      "5:6",
    ],
    ...["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"],
    ...["--pid", "host", "--network", "host", "--ulimit", "nofile=77:99"],
  );
  expect(bare).toMatchObject({
    Capabilities: {
      Effective: ["CAP_NET_ADMIN"],
      Permitted: ["CAP_NET_ADMIN"],
      Bounding: ["CAP_NET_ADMIN"],
      Ambient: ["CAP_NET_ADMIN"],
    },
    NoNewPrivileges: true,
    Seccomp: { Mode: "disabled", Filters: 0 },
    MaskedPaths: [],
  });
  // That nothing is masked makes the file system of devices no more writable.
  expect(bare.ReadonlyPaths.filter((path) => path.startsWith("/proc"))).toEqual([]);
  expect(bare.ReadonlyPaths).toContain("/sys");
  const shared = bare.Namespaces.filter((one) => one.SharedWithHost).map(({ Type }) => Type);
  expect(shared).toContain("pid");
  // A user's daemon has a network of its own, and that is not the host's; nor is its user namespace.
  expect(shared.includes("net")).toBe(daemon.inNetwork.length === 0);
  expect(shared.includes("user")).toBe(daemon.inNetwork.length === 0);
  expect(shared).not.toContain("mnt");
  expect(bare.Rlimits).toContainEqual({ Name: "open files", Soft: "77", Hard: "99" });
});

test("a privileged one has all of it; a mask that something was mounted over is none", async () => {
  const all = await report("all", "--privileged");
  expect(all).toMatchObject({ MaskedPaths: [], ReadonlyPaths: [], Seccomp: { Mode: "disabled" } });
  const flags = ["--userns=host", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
  const before = await report("over", ...flags);
  expect(before.MaskedPaths).toContain("/proc/keys");
  const over = await daemon.berth("exec", "over", "mount", "--bind", "/proc/version", "/proc/keys");
  expect(over.err).toBe("");
  const { out } = await daemon.berth("inspect", "--security", "--format", "json", "over");
  expect((JSON.parse(out) as SecurityReport).MaskedPaths).not.toContain("/proc/keys");
});

test("as text and by a template; what does not run has nothing to show; Docker's API is as it was", async () => {
  const text = (await daemon.berth("inspect", "--security", "plain", "bare")).out;
  expect(text).toMatch(/^plain \([0-9a-f]{12}\)\n {2}Process +\d+\n/);
  expect(text).toContain("\nbare (");
  expect(text).toMatch(/\n {2}Seccomp +filter \(1\)\n/);
  expect(text).toMatch(/\n {2}Bounding +NET_ADMIN\n/);
  const format =
    "{{.Seccomp.Mode}} {{range .Namespaces}}{{if .SharedWithHost}}{{.Type}} {{end}}{{end}}";
  expect((await daemon.berth("inspect", "--security", "-f", format, "bare")).out).toMatch(
    /^disabled .*pid /,
  );
  await daemon.berth("stop", "-t", "0", "bare");
  const stopped = await daemon.berth("inspect", "--security", "bare", "nobody", "plain");
  expect([stopped.status, stopped.out.startsWith("plain (")]).toEqual([1, true]);
  expect(stopped.err).toMatch(
    /container [0-9a-f]{64} is not running\n.*No such container: nobody\n$/,
  );
  expect(
    Object.keys(JSON.parse((await daemon.api("GET", "/containers/plain/json")).text)),
  ).not.toContain("Security");
  expect((await daemon.api("GET", "/containers/plain/security")).status).toBe(404);
});
