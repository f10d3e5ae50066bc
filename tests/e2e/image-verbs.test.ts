/** Images listed, looked at, named and removed: what each command prints, says of a failure, and ends with. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { dockerArchive, type ImagePlan, ociArchive } from "../kits/image-archives.ts";

const daemon = daemonOfFile();

const plan: ImagePlan = {
  names: ["multi:1", "multi:two", "localhost:5000/other/multi:x"],
  layers: [{ "etc/hello": "hello\n".repeat(100) }, { "etc/world": "w".repeat(5000) }],
  steps: [
    { created_by: "ADD hello" },
    { created_by: "ENV A=b", empty_layer: true },
    { created_by: "RUN a very long command line that is longer than that\twith a tab" },
  ],
  config: { Labels: { a: "b" } },
};
const multi = dockerArchive(plan);
const layout = ociArchive({
  ...plan,
  names: ["docker.io/library/layout:1"],
  created: "2020-01-08T00:00:00Z",
});

async function load(...archives: { readonly bytes: Uint8Array }[]): Promise<void> {
  for (const { bytes } of archives)
    expect((await daemon.berthWith({ stdin: bytes }, "load", "-q")).status).toBe(0);
}

/** Both command lines say the same; gives it. */
async function both(...args: string[]) {
  const own = await daemon.berth(...args);
  const stock = await daemon.docker(...args);
  expect({ ...own, err: own.err.replaceAll("berth", "docker") }).toEqual(stock);
  return own;
}

test("history has the bytes of each step", async () => {
  await load(multi, layout);
  const format = "{{.ID}}|{{.CreatedAt}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}";
  expect((await both("history", "--format", format, "multi:1")).out).toBe(
    [
      `${multi.id.slice(7, 19)}|2020-01-05T00:00:00Z|RUN a very long command line that is longer …|5kB|`,
      "<missing>|2020-01-05T00:00:00Z|ENV A=b|0B|",
      "<missing>|2020-01-05T00:00:00Z|ADD hello|600B|",
      "",
    ].join("\n"),
  );
  for (const args of [
    ["multi:1"],
    ["--no-trunc", "multi:two"],
    ["-q", "multi:1"],
    ["-H=false", "multi:1"],
    ["--format", "json", "multi:1"],
    ["--format", "table {{.ID}}\t{{.Size}}", "multi:1"],
    ["--platform", "linux/s390x", "multi:1"],
    ["--platform", "a/b/c/d", "multi:1"],
    ["nothing"],
    ["UPPER"],
    [],
  ])
    await both("history", ...args);
  const quiet = await daemon.berth("image", "history", "-q", "--no-trunc", "multi:1");
  expect(quiet.out).toBe(`${multi.id}\n<missing>\n<missing>\n`);
});

test("images are filtered, and shown in every form, as the stock command line does", async () => {
  // The stock command line shows the repositories of one image in a random order.
  const names = async (...args: string[]) =>
    (await daemon.berth("images", "--format", "{{.Repository}}:{{.Tag}}", ...args)).out;
  expect(await names("layout")).toBe("layout:1\n");
  expect(await names("-f", "before=layout:1", "-f", "reference=*:two")).toBe("multi:two\n");
  expect(await names("-f", "since=multi:1", "-f", "label=a")).toBe("layout:1\n");
  expect(await names("-f", "until=2020-01-07")).toContain("multi:1\n");
  expect(await names("-f", "until=2020-01-07")).not.toContain("layout");
  expect(await names("-f", "until=2020-01-01")).toBe("");
  expect(await names("-f", "dangling=true")).toBe("");
  expect((await both("images", "--digests", "layout")).out).toContain(layout.digest);
  for (const args of [
    ["layout"],
    ["-q"],
    ["-q", "--no-trunc"],
    ["--format", "json", "layout"],
    ["--format", "{{json .}}", "layout"],
    ["--format", "table {{.ID}}\t{{.VirtualSize}}", "layout"],
    ["-f", "dangling=maybe"],
    ["-f", "nonsense=x"],
    ["-f", "before=nothing"],
  ])
    await both("images", ...args);
});

test("a tree shows what there is of each image, by its platform", async () => {
  await daemon.berth("create", "--name", "user", "layout:1", "x");
  for (const args of [[], ["-a"], ["multi"], ["-f", "reference=nothing"], ["-q"], ["--no-trunc"]])
    await both("images", "--tree", ...args);
  const shown = (await daemon.berth("images", "--tree", "layout")).out;
  expect(shown).toMatch(/layout:1 +[0-9a-f]{12} +5.6kB +\S+ {3}U {4}\n└─ linux\/amd64 /);
  expect(shown).toContain(layout.digest.slice(7, 19));
  const own = daemon.onTerminal("images", "--tree", "layout");
  const stock = daemon.dockerOnTerminal("images", "--tree", "layout");
  await own.see("linux/amd64");
  await stock.see("linux/amd64");
  await daemon.berth("rm", "user");
  const path = (query: string) => `/v1.51/images/layout:1/json?${query}`;
  const told = JSON.parse((await daemon.api("GET", path("manifests=1"))).text);
  expect(told.Manifests[0]).toMatchObject({ ID: layout.digest, Available: true, Kind: "image" });
  const refused = await daemon.api("GET", path("manifests=1&platform=linux/amd64"));
  expect([refused.status, refused.text]).toEqual([
    400,
    expect.stringContaining("conflicting options"),
  ]);
});

test("inspect finds images by name, id and the beginning of it, and says what it does not find", async () => {
  const id = multi.id.slice(7);
  for (const name of ["multi:1", id, multi.id, id.slice(0, 8), `sha256:${id.slice(0, 8)}`])
    expect((await both("image", "inspect", "-f", "{{.Id}}", name)).out).toBe(`${multi.id}\n`);
  const pinned = await both("image", "inspect", "-f", "{{.Id}}", `layout@${layout.digest}`);
  expect(pinned.out).toBe(`${layout.id}\n`);
  const none = "a".repeat(64);
  for (const args of [
    ["nothing", "multi:1", "-f", "{{.Id}}"],
    ["UPPER"],
    ["bad name"],
    [""],
    [none],
    [`multi@sha256:${none}`],
    [`other@${layout.digest}`],
    [`multi@${multi.id}`],
    ["--platform", "linux/s390x", "multi:1"],
  ])
    expect((await both("image", "inspect", ...args)).status).toBe(1);
  for (const name of ["nothing", "UPPER", "bad name"])
    expect((await both("inspect", name)).err).toBe(`Error: No such object: ${name}\n`);
  await daemon.berth("run", "-d", "--name", "multi", "busybox", "sleep", "100");
  await daemon.berth("tag", "layout:1", "multi:latest");
  const typed = async (...args: string[]) => (await both("inspect", ...args, "multi")).out;
  expect(await typed("-f", "{{.Name}}")).toBe("/multi\n");
  expect(await typed("--type", "image", "-f", "{{.Id}}")).toBe(`${layout.id}\n`);
  await daemon.berth("rm", "-f", "multi");
  await daemon.berth("rmi", "multi:latest");
});

test("names that are none are refused by tag, before anything is asked for or after", async () => {
  for (const args of [
    ["multi:1", "UPPER"],
    ["multi:1", ""],
    ["multi:1", "a b"],
    ["multi:1", `x@sha256:${"a".repeat(64)}`],
    ["multi:1", "a".repeat(64)],
    ["multi:1", "sha256:abc"],
    ["multi:1", "a:b:c"],
    ["multi:1", "-x"],
    ["multi:1", "http://x"],
    ["multi:1", "x:-y"],
    ["UPPER", "x"],
    ["nothing", "x"],
    ["multi:1"],
  ]) {
    const { status, out } = await both("tag", ...args);
    expect([status, out]).toEqual([1, ""]);
  }
  await daemon.berth("image", "tag", "multi:1", "index.docker.io/library/renamed:1");
  const tags = await daemon.berth("image", "inspect", "-f", "{{.RepoTags}}", "renamed:1");
  expect(tags.out).toContain("renamed:1");
  expect((await daemon.berth("rmi", "renamed:1")).out).toBe("Untagged: renamed:1\n");
});

test("rmi takes names, then the image; several at once fail each for itself", async () => {
  const short = multi.id.slice(7, 19);
  const done = await daemon.berth("rmi", "nothing", "multi:two", "UPPER");
  expect(done).toEqual({
    status: 1,
    out: "Untagged: multi:two\n",
    err: "Error response from daemon: No such image: nothing:latest\nError response from daemon: invalid reference format: repository name (library/UPPER) must be lowercase\n",
  });
  expect((await both("rmi", short)).err).toBe(
    `Error response from daemon: conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories\n`,
  );
  expect((await both("rmi", "-f", "nothing")).status).toBe(0);
  const forced = await daemon.berth("image", "rm", "-f", short);
  const lines = forced.out.split("\n");
  expect(lines.slice(0, 3)).toEqual([
    "Untagged: multi:1",
    "Untagged: localhost:5000/other/multi:x",
    `Deleted: ${multi.id}`,
  ]);
  await load(multi);
});

test("what containers use stays: by name, by id, stopped, running, forced", async () => {
  await daemon.berth("run", "-d", "--name", "user", "busybox", "sleep", "100");
  const container = (await daemon.inspect("user", "{{.Id}}")).slice(0, 12);
  const image = (await daemon.inspect("busybox", "{{.Id}}")).slice(7, 19);
  const byName = `Error response from daemon: conflict: unable to remove repository reference "busybox" (must force) - container ${container} is using its referenced image ${image}\n`;
  const byId = (how: string, state: string) =>
    `Error response from daemon: conflict: unable to delete ${image} (${how}) - image is being used by ${state} container ${container}\n`;
  expect((await both("rmi", "busybox")).err).toBe(byName);
  expect((await both("rmi", image)).err).toBe(byId("cannot be forced", "running"));
  expect((await both("rmi", "-f", image)).err).toBe(byId("cannot be forced", "running"));
  await daemon.berth("kill", "user");
  await daemon.berth("wait", "user");
  expect((await both("rmi", "busybox")).err).toBe(byName);
  expect((await both("rmi", image)).err).toBe(byId("must be forced", "stopped"));
  await daemon.berth("rm", "user");
});

test("an image that others were made from goes with the last of them", async () => {
  const commit = async (from: string, name: string) => {
    await daemon.berth("create", "--name", "maker", from, "true");
    const { out } = await daemon.berth("commit", "maker", name);
    await daemon.berth("rm", "maker");
    return out.trim();
  };
  const parent = await commit("busybox", "parent:1");
  const child = await commit("parent:1", "child:1");
  expect(await daemon.inspect("child:1", "{{.Parent}}")).toBe(parent);
  const ids = (await daemon.berth("history", "-q", "--no-trunc", "child:1")).out.split("\n");
  expect(ids.slice(0, 2)).toEqual([child, parent]);
  expect((await both("rmi", "-f", parent.slice(7, 19))).err).toContain(
    "(cannot be forced) - image has dependent child images",
  );
  expect((await daemon.berth("rmi", "parent:1")).out).toBe("Untagged: parent:1\n");
  const listed = async (...args: string[]) =>
    (await both("images", "-q", "--no-trunc", ...args)).out.includes(parent);
  expect([await listed(), await listed("-a"), await listed("-f", "dangling=true")]).toEqual([
    false,
    true,
    false,
  ]);
  expect((await daemon.berth("image", "prune", "-f")).out).not.toContain(parent);
  const removed = await daemon.berth("rmi", "child:1");
  expect(removed.out.split("\n").filter((line) => /child:1|(?:Deleted: .*)/.test(line))).toEqual(
    expect.arrayContaining(["Untagged: child:1", `Deleted: ${child}`, `Deleted: ${parent}`]),
  );
  const kept = await commit("busybox", "kept:1");
  await commit("kept:1", "top:1");
  await daemon.berth("rmi", "kept:1");
  await daemon.berth("rmi", "--no-prune", "top:1");
  expect(await daemon.inspect(kept, "{{.Id}}")).toBe(kept);
  expect((await daemon.berth("rmi", kept)).out).toContain(`Deleted: ${kept}`);
});
