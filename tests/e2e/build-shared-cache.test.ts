/** Caches that hosts share: two daemons with roots of their own, and what one has done the other need not do. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildLine } from "../../src/spec/build-events.ts";
import { archiveOf } from "../build-conformance/image.ts";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { TestRegistry } from "../kits/registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const two = new TestDaemon();
const registry = new TestRegistry();

// Before the file's own daemon, whose end counts what is left.
beforeAll(async () => {
  await registry.start();
  await two.start();
});
afterAll(async () => {
  await two.destroy();
  await registry.stop();
});

const one = daemonOfFile();

/** A build, and what came of its steps. */
interface Built {
  readonly status: number;
  readonly id: string;
  /** Instructions that were taken from a cache, by their beginnings. */
  readonly cached: readonly string[];
  readonly done: readonly string[];
  readonly warnings: readonly string[];
  readonly notices: string;
  readonly error: string;
}

async function build(
  daemon: TestDaemon,
  dockerfile: string,
  flags: readonly string[] = [],
  files: Readonly<Record<string, string>> = {},
): Promise<Built> {
  const directory = scratchDirectory("context-");
  try {
    for (const [path, content] of Object.entries({ ...files, Dockerfile: dockerfile }))
      writeFileSync(join(directory, path), content);
    const { status, err } = await daemon.berth("build", "--progress=rawjson", ...flags, directory);
    const lines = err.split("\n").flatMap((line): BuildLine[] => {
      return line.startsWith("{") ? [JSON.parse(line) as BuildLine] : [];
    });
    const events = lines.flatMap(({ event }) => event ?? []);
    const of = (kind: "cached" | "running") =>
      events.flatMap((event) => {
        if (event.kind !== kind) return [];
        const { step } = event;
        const told = events.findLast((each) => each.kind === "step" && each.step === step);
        return told?.kind === "step" ? told.text.split(" ").slice(0, 3).join(" ") : [];
      });
    return {
      status,
      id: lines.findLast(({ aux }) => aux?.ID !== undefined)?.aux?.ID ?? "",
      cached: of("cached"),
      done: of("running"),
      warnings: events.flatMap((event) => (event.kind === "warning" ? event.text : [])),
      notices: events.flatMap((event) => (event.kind === "notice" ? event.text : [])).join("\n"),
      error: err,
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Forgets everything that a daemon has. */
async function clear(daemon: TestDaemon): Promise<void> {
  await daemon.berth("image", "prune", "-af");
  await daemon.berth("builder", "prune", "-af");
}

const stages = `FROM busybox AS maker
WORKDIR /made
RUN head -c 100000 /dev/urandom > big
RUN head -c 10 /dev/urandom > small
FROM busybox
WORKDIR /etc
COPY given /given
RUN cat /given > /first
COPY --from=maker /made/small /small
RUN echo last > /last
`;

test("registry, max: another host does nothing, gets the same image, and fetches what is in it alone", async () => {
  const ref = `${registry.address}/cache:max`;
  const files = { given: "content" };
  const first = await build(
    one,
    stages,
    ["--cache-to", `type=registry,ref=${ref},mode=max`],
    files,
  );
  expect([first.status, first.cached, first.warnings]).toEqual([0, [], []]);
  const from = ["--cache-from", `type=registry,ref=${ref}`];
  const second = await build(two, stages, from, files);
  expect([second.status, second.done, second.warnings]).toEqual([0, [], []]);
  expect(second.cached).toHaveLength(7);
  expect(second.id).toBe(first.id);
  // The first stage's layers are of no image.
  expect(second.notices.match(/Pull complete/g)).toHaveLength(4);
  const seen = await two.berth("run", "--rm", second.id, "cat", "/first", "/last");
  expect(seen.out).toBe("contentlast\n");
  // What came is this host's own now: no registry is asked for it.
  const again = await build(two, stages, [], files);
  expect(again.cached).toEqual(["COPY given /given", "RUN cat /given"]);
  await clear(two);
  await clear(one);
});

test("a step that misses fetches what it stands on, and the rest is done", async () => {
  const ref = `${registry.address}/cache:part`;
  const to = ["--cache-to", `type=registry,ref=${ref},mode=max`];
  const first = await build(one, stages, to, { given: "old" });
  const second = await build(two, stages, ["--cache-from", `type=registry,ref=${ref}`], {
    given: "new",
  });
  expect([second.status, second.warnings]).toEqual([0, []]);
  expect(second.done).toEqual([
    "COPY given /given",
    "RUN cat /given",
    "COPY --from=maker /made/small",
    "RUN echo last",
  ]);
  expect(second.id).not.toBe(first.id);
  const seen = await two.berth("run", "--rm", second.id, "sh", "-c", "cat /first; wc -c < /small");
  expect(seen.out).toBe("new10\n");
  await clear(two);
  await clear(one);
});

const inline = `FROM busybox
RUN head -c 10 /dev/urandom > /one
COPY given /given
RUN head -c 10 /dev/urandom > /two
`;

test("inline: an image that was pushed is a cache of its own steps, by all spellings", async () => {
  const ref = `${registry.address}/app:1`;
  const files = { given: "content" };
  const first = await build(one, inline, ["-t", ref, "--cache-to", "type=inline"], files);
  expect((await one.berth("push", ref)).status).toBe(0);
  for (const from of [ref, `type=registry,ref=${ref}`]) {
    const second = await build(
      two,
      inline,
      ["--cache-from", from, "--build-arg", "BUILDKIT_INLINE_CACHE=1"],
      files,
    );
    expect([second.done, second.warnings, second.id]).toEqual([[], [], first.id]);
    await clear(two);
  }
  // A file that has changed is another step, whatever the history says.
  const other = await build(two, inline, ["--cache-from", ref], { given: "other" });
  expect(other.cached).toEqual(["RUN head -c"]);
  await clear(two);
  await clear(one);
  await two.berth("pull", ref);
  const listed = JSON.stringify([ref, "nobody.invalid/nothing:1"]);
  const context = archiveOf({ given: "content", Dockerfile: inline });
  const response = await fetch(`http://x/build?cachefrom=${encodeURIComponent(listed)}`, {
    ...{ method: "POST", unix: two.socket, body: Buffer.from(context) },
  });
  const text = await response.text();
  expect(text.match(/Using cache/g)).toHaveLength(3);
  await clear(two);
});

test("an image without keys counts by its history, for what a history says all of", async () => {
  const ref = `${registry.address}/plain:1`;
  const dockerfile =
    "FROM busybox\nENV A=1\nRUN head -c 10 /dev/urandom > /one\nRUN echo $A > /two\n";
  await build(one, dockerfile, ["-t", ref]);
  await one.berth("push", ref);
  const second = await build(two, dockerfile, ["--cache-from", ref]);
  expect([second.cached.length, second.done]).toEqual([2, []]);
  await clear(two);
  const other = await build(two, dockerfile.replace("A=1", "A=2"), ["--cache-from", ref]);
  expect(other.cached).toEqual([]);
  await clear(two);
  await clear(one);
});

test("local: a directory of the client's, written whole and read as far as it is needed", async () => {
  const directory = scratchDirectory("cache-");
  const to = ["--cache-to", `type=local,dest=${directory}/c,mode=max`];
  const from = ["--cache-from", `type=local,src=${directory}/c`];
  const files = { given: "content" };
  try {
    const first = await build(one, stages, to, files);
    expect([first.status, first.warnings]).toEqual([0, []]);
    const blobs = () => readdirSync(`${directory}/c/blobs/sha256`).sort();
    expect(blobs()).toHaveLength(9);
    const second = await build(two, stages, [...from, ...to], files);
    expect([second.done, second.warnings, second.id]).toEqual([[], [], first.id]);
    // The image's layers; what is written asks for the others, and writes the same again.
    expect(second.notices.match(/Pull complete/g)).toHaveLength(4);
    expect(blobs()).toHaveLength(9);
    const inspected = await two.berth("run", "--rm", second.id, "cat", "/first");
    expect(inspected.out).toBe("content");
    await clear(two);
    // What a cache is not made of any more goes from the directory.
    const small = "FROM busybox\nRUN echo small > /small\n";
    await build(one, small, to);
    expect(blobs()).toHaveLength(3);
    // A blob that is not what it was is no layer.
    for (const name of blobs()) {
      const path = `${directory}/c/blobs/sha256/${name}`;
      if (!readFileSync(path, "latin1").startsWith("{")) writeFileSync(path, "damaged");
    }
    const damaged = await build(two, small, from);
    expect([damaged.status, damaged.done]).toEqual([0, ["RUN echo small"]]);
    expect(damaged.warnings[0]).toContain(`the cache ${directory}/c is not used any more`);
    const missing = await build(two, small, ["--cache-from", `type=local,src=${directory}/no`]);
    expect(missing.warnings).toEqual([]);
    const other = await build(
      two,
      stages,
      ["--cache-from", `type=local,src=${directory}/no`],
      files,
    );
    expect(other.warnings).toEqual([`the cache ${directory}/no is not used: no such directory`]);
    writeFileSync(`${directory}/file`, "");
    const failed = await build(one, small, ["--cache-to", `type=local,dest=${directory}/file/c`]);
    expect([failed.status, failed.error.includes("ENOTDIR")]).toEqual([1, true]);
  } finally {
    rmSync(directory, { recursive: true });
  }
  const alone = ["type=local,dest=/tmp/x"];
  const query = `berth-cache-to=${encodeURIComponent(JSON.stringify(alone))}`;
  const refused = await one.api("POST", `/build?${query}`);
  expect([refused.status, refused.text.includes("needs berth's own")]).toEqual([400, true]);
  const unknown = await one.api("POST", `/berth/build-exchange?token=${"a".repeat(32)}&want=1`);
  expect(unknown.status).toBe(404);
  await clear(two);
  await clear(one);
});

test("--no-cache-filter: the steps of these stages are done again", async () => {
  const files = { given: "content" };
  await build(one, stages, [], files);
  const again = await build(one, stages, ["--no-cache-filter", "MAKER,nobody", "--explain"], files);
  expect(again.done.slice(0, 3)).toEqual(["WORKDIR /made", "RUN head -c", "RUN head -c"]);
  expect(again.cached).toContain("RUN cat /given");
  expect(again.warnings).toEqual(["--no-cache-filter: no stage is named nobody"]);
  expect(again.error).toContain("not cached: --no-cache-filter");
  await clear(one);
});

interface Records {
  readonly diffIds: string[];
  readonly steps: { keys: string[]; layer?: number; description: string }[];
}

interface Manifest {
  readonly config: { digest: string; size: number };
  readonly layers: readonly { readonly digest: string }[];
}

/** Puts a cache into the registry that is like another in all but what is changed. */
async function forge(from: string, to: string, change: (records: Records) => void): Promise<void> {
  const base = `http://${registry.address}/v2/cache`;
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const answer = await fetch(`${base}/manifests/${from}`, { headers: { Accept: accept } });
  const manifest = (await answer.json()) as Manifest;
  const records = (await (
    await fetch(`${base}/blobs/${manifest.config.digest}`)
  ).json()) as Records;
  change(records);
  const bytes = Buffer.from(JSON.stringify(records));
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
  const begun = await fetch(`${base}/blobs/uploads/`, { method: "POST" });
  const url = new URL(begun.headers.get("location") ?? "", base);
  url.searchParams.set("digest", digest);
  await fetch(url, { method: "PUT", body: bytes });
  const config = { ...manifest.config, digest, size: bytes.length };
  const put = await fetch(`${base}/manifests/${to}`, {
    ...{ method: "PUT", headers: { "Content-Type": accept } },
    body: JSON.stringify({ ...manifest, config }),
  });
  expect(put.status).toBe(201);
}

const two_steps = "FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n";

test("a cache that lies, or has not what it promises, is a warning; the image is what it ought to be", async () => {
  const ref = `${registry.address}/cache`;
  await build(one, two_steps, ["--cache-to", `type=registry,ref=${ref}:good,mode=max`]);
  const swap = ({ diffIds }: Records) => diffIds.reverse();
  await forge("good", "swapped", swap);
  await forge("good", "other", ({ diffIds }) => diffIds.fill(`sha256:${"a".repeat(64)}`));
  await forge("good", "steps", ({ steps }) => {
    for (const step of steps) step.layer = 7;
  });
  await forge("good", "keys", ({ steps }) => {
    for (const step of steps) step.keys = ["../../etc"];
  });
  const seen = async (flags: readonly string[]) => {
    const built = await build(two, two_steps, flags);
    const { out } = await two.berth("run", "--rm", built.id, "cat", "/one", "/two");
    await clear(two);
    return { ...built, out };
  };
  for (const tag of ["swapped", "other", "steps", "keys", "nowhere"]) {
    const built = await seen(["--cache-from", `type=registry,ref=${ref}:${tag}`]);
    expect([tag, built.status, built.out]).toEqual([tag, 0, "one\ntwo\n"]);
    expect(built.warnings).toHaveLength(1);
    expect(built.warnings[0]).toContain(`the cache ${ref}:${tag} is not used`);
    expect(new Set(built.done)).toEqual(new Set(["RUN echo one", "RUN echo two"]));
  }
  // The next one is asked all the same.
  const both = ["nowhere", "other", "good"].flatMap((tag) => ["--cache-from", `${ref}:${tag}`]);
  const built = await seen(both);
  expect([built.status, built.out, built.warnings.length]).toEqual([0, "one\ntwo\n", 2]);
  expect(built.done).toEqual([]);
  expect((await two.berth("system", "check")).out).toBe("Everything is as it should be.\n");
  await clear(one);
});

test("a cache that cannot be written fails the build, unless that is to be ignored; wrong words change nothing", async () => {
  const to = "type=registry,ref=127.0.0.1:1/cache:1";
  const failed = await build(one, two_steps, ["--cache-to", to]);
  expect(failed.status).toBe(1);
  expect(failed.error).toContain("the cache 127.0.0.1:1/cache:1 cannot be written");
  const ignored = await build(one, two_steps, ["--cache-to", `${to},ignore-error=true`]);
  expect([ignored.status, ignored.warnings.length]).toEqual([0, 1]);
  for (const [flag, value, word] of [
    ["--cache-to", "type=gha", "unknown type"],
    ["--cache-to", "type=registry", "ref is missing"],
    ["--cache-to", "type=registry,ref=a,mode=all", "mode is min or max"],
    ["--cache-from", "type=registry,ref=a,colour=red", "it knows no colour"],
    ["--cache-from", "type=registry,ref=A!", "invalid reference format"],
  ] as const) {
    const wrong = await build(one, two_steps, [flag, value]);
    expect([wrong.status, wrong.error.includes(word)]).toEqual([1, true]);
  }
  await clear(one);
});
