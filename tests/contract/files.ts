/**
 * What comes out of containers and goes in: archives and export; volumes and networks.
 */
import { expect } from "bun:test";
import { type Files, tarOf } from "../clients/tars.ts";
import type { Caller } from "./caller.ts";
import {
  create,
  ended,
  eventually,
  execute,
  ran,
  remove,
  type Scenarios,
  scripted,
  sleeper,
  start,
} from "./steps.ts";

const archive = (files: Files) => new Uint8Array(tarOf(files));

async function archives(api: Caller): Promise<void> {
  const script = "mkdir /tmp/d; echo content > /tmp/d/file; exec sleep 1000";
  const path = { id: await start(api, scripted(script, { User: "1000" })) };
  await eventually(
    () => execute(api, path.id, "ls", "/tmp/d/file"),
    (text) => text === "/tmp/d/file\n",
  );
  const query = { path: "/tmp/d/file" };
  const stat = await api.call("ContainerArchiveInfo", { path, query });
  const header = stat.headers.get("x-docker-container-path-stat") ?? "";
  const told = JSON.parse(atob(header)) as Record<string, unknown>;
  stat.shows("query path", [told.name, told.size], ["file", 8]);
  expect(Object.keys(told).sort()).toEqual(["linkTarget", "mode", "mtime", "name", "size"]);
  const got = await api.call("ContainerArchive", { path, query });
  got.shows("query path", got.text.includes("content\n"), true);
  expect(got.headers.get("content-type")).toBe("application/x-tar");
  expect(got.headers.get("x-docker-container-path-stat")).toBe(header);
  const put = await api.call("PutContainerArchive", {
    path,
    query: { path: "/tmp/d", copyUIDGID: true },
    body: archive({ new: "put" }),
  });
  put.shows(
    ["body", "query path", "query copyUIDGID"],
    await execute(api, path.id, "sh", "-c", "cat /tmp/d/new; stat -c %u /tmp/d/new"),
    "put1000\n",
  );
  const over = await api.call("PutContainerArchive", {
    path,
    query: { path: "/tmp", noOverwriteDirNonDir: true },
    body: archive({ d: "a file over a directory" }),
    status: 400,
  });
  over.shows("query noOverwriteDirNonDir", over.message, expect.stringContaining("d"));
  for (const id of ["ContainerArchiveInfo", "ContainerArchive", "PutContainerArchive"]) {
    const body = id === "PutContainerArchive" ? archive({ x: "" }) : undefined;
    await api.call(id, { path, query: { path: "" }, body, status: 400 });
    await api.call(id, { path, query: { path: "/nowhere" }, body, status: 404 });
    await api.call(id, { path: { id: "nothing" }, query: { path: "/" }, body, status: 404 });
  }
  await remove(api, path.id);
  const readOnly = { id: await start(api, { ...sleeper, HostConfig: { ReadonlyRootfs: true } }) };
  const refused = await api.call("PutContainerArchive", {
    path: readOnly,
    query: { path: "/" },
    body: archive({ x: "" }),
    status: 403,
  });
  expect(refused.message).toBe("container rootfs is marked read-only");
  await remove(api, readOnly.id);
}

async function exported(api: Caller): Promise<void> {
  const { id } = await ran(api, scripted("echo exported > /file"));
  const answer = await api.call("ContainerExport", { path: { id } });
  expect(answer.text).toContain("exported\n");
  expect(answer.headers.get("content-type")).toBe("application/octet-stream");
  await remove(api, id);
  await api.call("ContainerExport", { path: { id }, status: 404 });
}

async function volumes(api: Caller): Promise<void> {
  const body = { Name: "kept", Driver: "local", Labels: { a: "b" }, DriverOpts: {} };
  const made = await api.call("VolumeCreate", { body });
  const path = { name: "kept" };
  const inspect = await api.call("VolumeInspect", { path });
  made.shows(
    ["body Name", "body Driver", "body Labels"],
    [inspect.at("Name"), inspect.at("Driver"), inspect.at("Labels")],
    ["kept", "local", { a: "b" }],
  );
  const list = await api.call("VolumeList", {
    query: { filters: { name: ["kept"], label: ["a=b"], dangling: ["true"], driver: ["local"] } },
  });
  list.shows("query filters", list.at("Volumes.0.Name"), "kept");
  await api.call("VolumeList", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  const user = await create(api, { ...sleeper, HostConfig: { Binds: ["kept:/v"] } });
  const refused = await api.call("VolumeDelete", { path, status: 409 });
  expect(refused.message).toBe(`remove kept: volume is in use - [${user}]`);
  await remove(api, user);
  await api.call("VolumeDelete", { path });
  expect((await api.call("VolumeDelete", { path, status: 404 })).message).toBe(
    "get kept: no such volume",
  );
  const forced = await api.call("VolumeDelete", { path, query: { force: true } });
  forced.shows("query force", forced.status, 204);
  await api.call("VolumeInspect", { path, status: 404 });
  await api.call("VolumeCreate", { body: { Name: "pruned" } });
  const pruned = await api.call("VolumePrune", { query: { filters: { all: ["true"] } } });
  pruned.shows("query filters", pruned.at("VolumesDeleted"), ["pruned"]);
}

async function networks(api: Caller): Promise<void> {
  const id = await start(api, sleeper);
  const list = await api.call("NetworkList", { query: { filters: { driver: ["bridge"] } } });
  list.shows("query filters", list.each("Name"), ["bridge"]);
  const bridge = await api.call("NetworkInspect", { path: { id: "bridge" } });
  expect(bridge.at("Containers")).toHaveProperty(id);
  await api.call("NetworkInspect", { path: { id: "nothing" }, status: 404 });
  const pruned = await api.call("NetworkPrune", { query: { filters: { until: ["1h"] } } });
  expect(pruned.at("NetworksDeleted")).toEqual([]);
  await api.call("NetworkPrune", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  await remove(api, id);
  expect(await ended(api, await start(api, scripted("")))).toBe(0);
}

/** The scenarios. */
export const fileScenarios: Scenarios = {
  "archives in and out": archives,
  export: exported,
  volumes,
  networks,
};
