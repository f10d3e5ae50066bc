/**
 * Images: made from containers and archives, loaded, looked at, named, removed.
 */
import { expect } from "bun:test";
import { createHash } from "node:crypto";
import { filesOf, tarOf } from "../clients/tars.ts";
import { TestRegistry } from "../kits/registry.ts";
import type { Answer, Caller } from "./caller.ts";
import { create, ran, remove, type Scenarios, scripted, start } from "./steps.ts";

/** A configuration for commit, every field of which the image shows again. */
const committed = {
  Cmd: ["cat", "/kept"],
  Entrypoint: ["env"],
  Labels: { a: "b" },
  ExposedPorts: { "80/tcp": {} },
  Healthcheck: {
    Test: ["CMD", "true"],
    Interval: 2e9,
    Timeout: 3e9,
    Retries: 4,
    StartPeriod: 5e9,
    StartInterval: 6e9,
  },
  StopSignal: "INT",
  User: "0",
  WorkingDir: "/tmp",
  Volumes: { "/v": {} },
  OnBuild: ["RUN true"],
  Shell: ["/bin/sh", "-c"],
};

async function commit(api: Caller): Promise<void> {
  const id = await start(api, scripted("echo kept > /kept; sleep 1000"));
  const query = { container: id, repo: "committed", tag: "here", comment: "told", author: "Ann" };
  const answer = await api.call("ImageCommit", {
    query: { ...query, pause: false, changes: "ENV FROM=changes" },
    body: { ...committed, Env: ["X=y"] },
  });
  const path = { name: "committed:here" };
  const image = await api.call("ImageInspect", { path });
  const named = ["query container", "query repo", "query tag"];
  answer.shows(named, image.at("Id"), answer.at("Id"));
  answer.shows("query comment", image.at("Comment"), "told");
  answer.shows("query author", image.at("Author"), "Ann");
  for (const [field, value] of Object.entries(committed))
    answer.shows(`body ${field}`, image.at(`Config.${field}`), value);
  const both = expect.arrayContaining(["X=y", "FROM=changes"]);
  answer.shows(["body Env", "query changes"], image.at("Config.Env"), both);
  const { output, id: heir } = await ran(api, { Image: "committed:here" });
  expect(output).toBe("kept\n");
  await pausing(api, id);
  await api.call("ImageCommit", { query: { container: "nothing" }, status: 404 });
  for (const one of [heir, id]) await remove(api, one);
  await api.call("ImageDelete", { path });
}

/** With `pause` the container stands still meanwhile, and runs again after. */
async function pausing(api: Caller, container: string): Promise<void> {
  const since = Date.now() / 1000;
  const answer = await api.call("ImageCommit", { query: { container, pause: true } });
  const filters = { container: [container], event: ["pause", "unpause"] };
  const query = { since, until: Date.now() / 1000, filters };
  const told = await api.call("SystemEvents", { query });
  const inspect = await api.call("ContainerInspect", { path: { id: container } });
  const after = [told.values.length, inspect.at("State.Status")];
  // dockerd tells of both; berth stops the container below its own notice.
  answer.shows("query pause", after, [expect.any(Number), "running"]);
  await api.call("ImageDelete", { path: { name: String(answer.at("Id")) } });
}

async function imported(api: Caller): Promise<Answer> {
  const made = await api.call("ImageCreate", {
    query: {
      fromSrc: "-",
      repo: "imported",
      tag: "one",
      message: "told",
      changes: ["CMD sh", "LABEL a=b", "ENV X=y", "EXPOSE 80"],
      platform: "linux/arm64/v8",
    },
    body: new Uint8Array(tarOf({ file: "text" })),
  });
  const path = { name: "imported:one" };
  const inspect = await api.call("ImageInspect", { path });
  const sent = ["query fromSrc", "query repo", "query tag", "body"];
  made.shows(sent, inspect.at("RepoTags"), ["imported:one"]);
  made.shows("query message", inspect.at("Comment"), "told");
  made.shows("query changes", inspect.at("Config.Labels"), { a: "b" });
  const platform = [inspect.at("Os"), inspect.at("Architecture"), inspect.at("Variant")];
  made.shows("query platform", platform, ["linux", "arm64", "v8"]);
  return inspect;
}

async function images(api: Caller): Promise<void> {
  const path = { name: "imported:one" };
  const inspect = await imported(api);
  const tag = await api.call("ImageTag", { path, query: { repo: "other", tag: "two" } });
  const other = { name: "other:two" };
  const same = (await api.call("ImageInspect", { path: other })).at("Id");
  tag.shows(["query repo", "query tag"], same, inspect.at("Id"));
  await api.call("ImageTag", { path: { name: "nothing" }, query: { repo: "x" }, status: 404 });
  await api.call("ImageTag", { path, query: { repo: "UPPER" }, status: 400 });
  const filters = { reference: ["imported"], label: ["a=b"] };
  const list = await api.call("ImageList", { query: { filters, "shared-size": true } });
  list.shows("query filters", list.each("Id"), [inspect.at("Id")]);
  list.shows("query shared-size", list.at("0.SharedSize"), 0);
  await api.call("ImageList", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  await api.call("SystemDataUsage");
  const wanted = { os: "linux", architecture: "s390x" };
  for (const id of ["ImageInspect", "ImageHistory"]) {
    const refused = await api.call(id, { path, query: { platform: wanted }, status: 404 });
    refused.shows("query platform", refused.message, expect.stringContaining("s390x"));
    await api.call(id, { path: { name: "nothing" }, status: 404 });
  }
  const history = await api.call("ImageHistory", { path });
  expect([history.at("0.Comment"), history.at("0.Tags")]).toEqual([
    "told",
    ["imported:one", "other:two"],
  ]);
  const user = await create(api, { Image: "imported:one" });
  await api.call("ImageDelete", { path: other });
  await api.call("ImageDelete", { path, status: 409 });
  const forced = await api.call("ImageDelete", { path, query: { force: true } });
  forced.shows("query force", forced.at("0.Untagged"), "imported:one");
  await remove(api, user);
  await api.call("ImageDelete", { path: { name: "nothing" }, status: 404 });
}

/** What an image was made from stays without its name, or goes with it. */
async function parents(api: Caller): Promise<void> {
  const make = async (Image: string, tag: string) => {
    const container = await create(api, { Image });
    const made = await api.call("ImageCommit", { query: { container, repo: "parents", tag } });
    await remove(api, container);
    return String(made.at("Id"));
  };
  const below = await make("busybox", "below");
  await make("parents:below", "above");
  const above = { name: "parents:above" };
  expect((await api.call("ImageInspect", { path: above })).at("Parent")).toBe(below);
  await api.call("ImageDelete", { path: { name: "parents:below" } });
  const removed = await api.call("ImageDelete", { path: above, query: { noprune: true } });
  const kept = await api.call("ImageInspect", { path: { name: below } });
  removed.shows("query noprune", kept.at("Id"), below);
  await api.call("ImageDelete", { path: { name: below } });
}

/** To a registry and back. */
async function registries(api: Caller): Promise<void> {
  const password = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
  const registry = await new TestRegistry(`ann:${password}\n`).start();
  const name = `${registry.address}/contract`;
  const account = { username: "ann", password: "secret", serveraddress: registry.address };
  const headers = { "X-Registry-Auth": Buffer.from(JSON.stringify(account)).toString("base64url") };
  try {
    await api.call("ImageCreate", { query: { fromImage: "busybox", tag: "latest" } });
    await api.call("ImageTag", { path: { name: "busybox" }, query: { repo: name, tag: "1" } });
    const path = { name };
    const push = await api.call("ImagePush", { path, query: { tag: "1" }, headers });
    const aux = push.values.findLast((value) => "aux" in (value as object)) as { aux: object };
    push.shows(["query tag", "header X-Registry-Auth"], aux.aux, {
      Tag: "1",
      Digest: expect.stringMatching(/^sha256:/),
      Size: expect.any(Number),
    });
    const never = await api.call("ImagePush", { path, query: { tag: "never" }, headers });
    expect(never.text).toContain("tag does not exist");
    await api.call("ImageDelete", { path: { name: `${name}:1` } });
    const query = { fromImage: name, tag: "1" };
    const refused = await api.call("ImageCreate", { query, status: 404 });
    expect(refused.message).toContain("pull access denied");
    const pull = await api.call("ImageCreate", { query, headers });
    const there = await api.call("ImageInspect", { path: { name: `${name}:1` } });
    const shown = ["query tag", "header X-Registry-Auth"];
    pull.shows(shown, there.at("RepoTags"), expect.arrayContaining([`${name}:1`]));
    await api.call("ImageDelete", { path: { name: `${name}:1` } });
  } finally {
    await registry.stop();
  }
}

const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex");

/** An image as an OCI layout in an archive. */
function ociArchive(name: string): Uint8Array {
  const layer = tarOf({ loaded: "text" }).toString("latin1");
  const config = JSON.stringify({
    architecture: "amd64",
    os: "linux",
    config: { Cmd: ["true"], Labels: { kind: "loaded" } },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created_by: "hand" }],
  });
  const descriptor = (mediaType: string, text: string) => ({
    mediaType: `application/vnd.oci.image.${mediaType}`,
    digest: `sha256:${sha256(text)}`,
    size: text.length,
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    config: descriptor("config.v1+json", config),
    layers: [descriptor("layer.v1.tar", layer)],
  });
  const top = descriptor("manifest.v1+json", manifest);
  const annotations = { "io.containerd.image.name": name };
  return new Uint8Array(
    tarOf({
      "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
      "index.json": JSON.stringify({ schemaVersion: 2, manifests: [{ ...top, annotations }] }),
      ...Object.fromEntries(
        [config, layer, manifest].map((text) => [`blobs/sha256/${sha256(text)}`, text]),
      ),
    }),
  );
}

async function loadAndPrune(api: Caller): Promise<void> {
  const body = ociArchive("docker.io/library/loaded:1");
  const told = await api.call("ImageLoad", { body });
  expect(told.values).toContainEqual(expect.objectContaining({ status: "Loading layer" }));
  await api.call("ImageDelete", { path: { name: "loaded:1" } });
  const platform = { os: "linux", architecture: "s390x" };
  const refused = await api.call("ImageLoad", { query: { platform }, body, status: 404 });
  refused.shows("query platform", refused.message, expect.stringContaining("s390x"));
  const load = await api.call("ImageLoad", { query: { quiet: true }, body });
  const inspect = await api.call("ImageInspect", { path: { name: "loaded:1" } });
  load.shows("body", inspect.at("Config.Labels"), { kind: "loaded" });
  load.shows("query quiet", load.values, [{ stream: "Loaded image: loaded:1\n" }]);
  expect(inspect.at("RepoDigests.0")).toStartWith("loaded@sha256:");
  await api.call("ImageList");
  await api.call("SystemDataUsage");
  await api.call("ImageLoad", { body: new Uint8Array(tarOf({ nothing: "" })), status: 400 });
  const filters = { dangling: ["false"], label: ["kind=loaded"] };
  const pruned = await api.call("ImagePrune", { query: { filters } });
  const steps = pruned.at("ImagesDeleted");
  const gone = [{ Untagged: "loaded:1" }, { Deleted: inspect.at("Id") }];
  pruned.shows("query filters", steps, expect.arrayContaining(gone));
  await api.call("ImagePrune", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  const pull = await api.call("ImageCreate", { query: { fromImage: "busybox", tag: "latest" } });
  const there = await api.call("ImageInspect", { path: { name: "busybox" } });
  pull.shows("query fromImage", there.at("RepoTags"), ["busybox:latest"]);
}

/** What an archive calls its images. */
function namesIn(archive: Answer): unknown {
  const [manifest = ""] = Object.values(filesOf(archive.bytes, "manifest.json"));
  return JSON.parse(manifest).map((one: { RepoTags: unknown }) => one.RepoTags);
}

async function saved(api: Caller): Promise<void> {
  await api.call("ImageLoad", { body: ociArchive("docker.io/library/saved:1") });
  const path = { name: "saved:1" };
  await api.call("ImageTag", { path, query: { repo: "saved", tag: "2" } });
  const one = await api.call("ImageGet", { path });
  one.shows("path name", namesIn(one), [["saved:1"]]);
  const all = await api.call("ImageGetAll", { query: { names: ["saved:1", "saved:2"] } });
  all.shows("query names", namesIn(all), [["saved:1", "saved:2"]]);
  const platform = { os: "linux", architecture: "s390x" };
  const refused = await api.call("ImageGet", { path, query: { platform }, status: 404 });
  refused.shows("query platform", refused.message, expect.stringContaining("s390x"));
  const query = { names: ["saved:1"], platform };
  const neither = await api.call("ImageGetAll", { query, status: 404 });
  neither.shows("query platform", neither.message, expect.stringContaining("s390x"));
  for (const tag of ["1", "2"]) await api.call("ImageDelete", { path: { name: `saved:${tag}` } });
}

/** The scenarios. */
export const imageScenarios: Scenarios = {
  commit,
  images,
  "load, prune, pull": loadAndPrune,
  save: saved,
  parents,
  "push and pull": registries,
};
