/**
 * The conformance suite of the builder: each row against berth, and, where dockerd is installed and its classic builder can,
 * against that in the same run, field by field.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bases } from "../build-conformance/bases.ts";
import { Builder, type Built, ClassicDaemon } from "../build-conformance/builders.ts";
import type { Case } from "../build-conformance/case.ts";
import { caching, commands } from "../build-conformance/commands.ts";
import { configuration } from "../build-conformance/configuration.ts";
import { copies, ignored } from "../build-conformance/copies.ts";
import { changesOf, type Outcome, type Tree } from "../build-conformance/image.ts";
import { variables } from "../build-conformance/variables.ts";
import { daemonOfFile } from "../kits/daemon.ts";

const { missing } = ClassicDaemon;
let classicDaemon: ClassicDaemon | undefined;
let classic: Builder | undefined;
// Before the census that ends the file.
afterAll(async () => {
  await classicDaemon?.close();
});
const daemon = daemonOfFile();
const berth = new Builder(daemon.socket);
const baseTrees = new Map<string, Tree>();

beforeAll(async () => {
  await daemon.berth("run", "--rm", "busybox", "true");
  for (const [name, input] of Object.entries(bases))
    expect((await berth.build({ ...input, query: { t: name } })).error).toBeUndefined();
  if (missing !== undefined) console.log(`the classic builder is not compared with: ${missing}`);
  else classicDaemon = new ClassicDaemon();
  classic = await classicDaemon?.ready();
  for (const name of ["busybox", ...Object.keys(bases)]) {
    const saved = await berth.saved(name);
    baseTrees.set(name, (await berth.image(name)).tree);
    await classic?.load(saved);
  }
}, 60_000);

/** The image that the last stage stands on, for what counts as changed. */
function baseOf({ dockerfile }: Case, { tree }: Outcome): Tree {
  const names = [...dockerfile.matchAll(/^\W*FROM\s+(?:--\S+\s+)?(\S+)/gim)].map(
    ([, name]) => name,
  );
  const name = names.findLast((one) => baseTrees.has(one ?? "")) ?? "busybox";
  if (names.at(-1) === "scratch" || tree.size === 0) return new Map();
  return (
    baseTrees.get(/^FROM busybox AS furnished/m.test(dockerfile) ? "busybox" : name) ?? new Map()
  );
}

/** The classic builder makes the places of a base's volumes when it runs something, and they stay. */
const classicPlaces: ReadonlySet<string> = new Set(["basevol"]);

/** Settings that say nothing are left out, as Go's encoders do or do not; and BuildKit says "/" where nothing means the same. */
function meaning(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const silent = ["", false, null, undefined];
  return Object.fromEntries(
    Object.entries(config).filter(
      // The classic builder writes the image and host names of its containers.
      ([name, value]) =>
        !(name === "WorkingDir" && value === "/") &&
        !silent.includes(value as string) &&
        !["Image", "Hostname"].includes(name),
    ),
  );
}

/** A name that only this row has. */
let count = 0;

async function outcomeOf(builder: Builder, row: Case): Promise<{ built: Built; image?: Outcome }> {
  const name = `row-${count++}`;
  const built = await builder.build({ ...row, query: { ...row.query, t: name } });
  return built.error === undefined ? { built, image: await builder.image(name) } : { built };
}

function check(row: Case, { built, image }: Awaited<ReturnType<typeof outcomeOf>>): void {
  if (row.error !== undefined || image === undefined) {
    expect(built.error ?? "it was built").toMatch(row.error ?? /^$/);
    return;
  }
  for (const [field, value] of Object.entries(row.config ?? {}))
    expect<unknown>([field, image.config[field] ?? undefined]).toEqual([field, value]);
  if (row.tree !== undefined) expect(changesOf(baseOf(row, image), image.tree)).toEqual(row.tree);
  if (row.history !== undefined)
    expect(image.history.slice(-row.history.length)).toEqual([...row.history]);
}

async function compare(row: Case, own: Awaited<ReturnType<typeof outcomeOf>>): Promise<void> {
  if (classic === undefined || row.notClassic !== undefined) return;
  const other = await outcomeOf(classic, row);
  // The words of mistakes have changed with BuildKit; that there is one has not.
  if (own.image === undefined || other.image === undefined) {
    expect([other.built.error, other.image]).toEqual([expect.any(String), undefined]);
    return;
  }
  expect(meaning(own.image.config)).toEqual(meaning(other.image.config));
  for (const path of classicPlaces) other.image.tree.delete(path);
  expect(Object.fromEntries(own.image.tree)).toEqual(Object.fromEntries(other.image.tree));
}

function suite(what: string, rows: readonly Case[]): void {
  describe(what, () => {
    for (const row of rows)
      test(row.name, async () => {
        const own = await outcomeOf(berth, row);
        check(row, own);
        await compare(row, own);
      }, 60_000);
  });
}

suite("configuration", configuration);
suite("variables and stages", variables);
suite("files", copies);
suite("commands", commands);

describe(".dockerignore", () => {
  for (const row of ignored)
    test(row.name, async () => {
      const { image } = await outcomeOf(berth, row);
      const paths = [...(image?.tree ?? [])].flatMap(([path, line]) =>
        line.endsWith(" /") ? [] : [path],
      );
      expect(paths.sort()).toEqual(Object.keys(row.tree ?? {}).sort());
    });
});

describe("cache", () => {
  for (const row of caching)
    test(row.name, async () => {
      const first = await berth.build(row);
      expect(first.error).toBeUndefined();
      const then = { ...row, ...row.again };
      expect((await berth.build(then)).hits).toEqual([...row.hits]);
      if (classic === undefined || row.notClassic !== undefined) return;
      await classic.build(row);
      expect((await classic.build(then)).hits).toEqual([...row.hits]);
    }, 60_000);
});

test("the time of a file stays, its attributes do not come from a context", async () => {
  const { id } = await berth.build({
    dockerfile: "FROM scratch\nCOPY f /g\n",
    files: { f: { content: "f", mtime: 1_234_567_890, xattrs: { "user.lost": "x" } } },
  });
  const { tree, times } = await berth.image(id ?? "");
  expect([...tree]).toEqual([["g", "644 0:0 f"]]);
  expect(times.get("g")).toBe(1_234_567_890);
});
