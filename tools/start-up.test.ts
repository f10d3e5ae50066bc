/**
 * What a short command loads before it does anything: only what it uses, and nothing of the runtime's own modules, which
 * are parsed at each start. `start-up.ts` measures beside docker; this is where it comes from.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";

interface Import {
  readonly path: string;
  readonly kind: string;
  readonly external?: boolean;
}
interface Metafile {
  readonly inputs: Readonly<Record<string, { readonly imports: readonly Import[] }>>;
  readonly outputs: Readonly<
    Record<
      string,
      {
        readonly bytes: number;
        readonly imports: readonly Import[];
        readonly inputs: Readonly<Record<string, unknown>>;
      }
    >
  >;
}

const scratch = mkdtempSync("/tmp/bt-start-");
afterAll(() => rmSync(scratch, { recursive: true }));

/** The chunks that tools/build.ts compiles, without compiling them. */
function bundle(): Metafile {
  const shape = ["--target=bun", "--splitting", "--format=esm"];
  const smaller = ["--minify-whitespace", "--minify-syntax"];
  const to = ["--outdir", `${scratch}/out`, `--metafile=${scratch}/meta.json`];
  const built = Bun.spawnSync(
    [process.execPath, "build", ...shape, ...smaller, ...to, "src/main/cli.ts"],
    { cwd: `${import.meta.dir}/..`, stderr: "pipe" },
  );
  expect(built.exitCode, built.stderr.toString()).toBe(0);
  return JSON.parse(readFileSync(`${scratch}/meta.json`, "utf8")) as Metafile;
}

const { inputs, outputs } = bundle();

/** The chunks that are loaded with the one that has a source file, this one first. */
function chunksOf(source: string): string[] {
  const first = Object.keys(outputs).find((name) => source in (outputs[name]?.inputs ?? {}));
  const found = first === undefined ? [] : [first];
  for (const chunk of found)
    for (const { path, kind } of outputs[chunk]?.imports ?? [])
      if (kind === "import-statement" && path in outputs && !found.includes(path)) found.push(path);
  return found;
}

/** What a command line loads: the entry, and the chunk of its command. */
function loadedBy(command: string | undefined) {
  const roots = ["src/main/cli.ts", ...(command === undefined ? [] : [command])];
  const chunks = [...new Set(roots.flatMap(chunksOf))];
  const sources = new Set(chunks.flatMap((chunk) => Object.keys(outputs[chunk]?.inputs ?? {})));
  return {
    bytes: chunks.reduce((sum, chunk) => sum + (outputs[chunk]?.bytes ?? 0), 0),
    sources: [...sources].toSorted(),
    builtin: [...sources].flatMap((source) =>
      (inputs[source]?.imports ?? [])
        // A macro is a file of ours that only the build runs.
        .filter(({ kind, external }) => external === true && kind === "import-statement")
        .filter(({ path }) => !path.endsWith(".ts"))
        .map(({ path }) => `${source}: ${path}`),
    ),
  };
}

const KILO = 1000;
/** What is started most, with how many bytes of code it may load. */
const quick: Readonly<Record<string, readonly [command: string | undefined, most: number]>> = {
  "--version": [undefined, 42 * KILO],
  "--help": ["src/cli/overview.ts", 46 * KILO],
  ps: ["src/cli/commands/ps.ts", 52 * KILO],
  version: ["src/cli/commands/version.ts", 45 * KILO],
  exec: ["src/cli/commands/exec.ts", 50 * KILO],
  run: ["src/cli/commands/run.ts", 97 * KILO],
};

/** All code of the executable, in front of the runtime. */
const BUNDLE_MAX = 3_000_000;

for (const [line, [command, most]] of Object.entries(quick))
  test(`berth ${line} loads little, and no module of the runtime's`, () => {
    const { bytes, sources, builtin } = loadedBy(command);
    expect(sources).toContain("src/cli/app.ts");
    if (command !== undefined) expect(sources).toContain(command);
    expect(builtin).toEqual([]);
    expect(bytes).toBeLessThan(most);
    // Neither the daemon nor templates nor another command.
    const others = sources.filter(
      (source) =>
        !/^(src\/(cli|client|base|main|spec)\/|package\.json$)/.test(source) ||
        (/^src\/cli\/commands\//.test(source) && source !== command),
    );
    expect(others).toEqual([]);
  });

test("the check sees what a module of the runtime's is", () => {
  expect(loadedBy("src/cli/commands/cp.ts").builtin.join()).toContain("fs");
});

test("the code as a whole stays small", () => {
  const code = Object.entries(outputs).filter(([name]) => name.endsWith(".js"));
  expect(code.length).toBeGreaterThan(50);
  expect(code.reduce((sum, [, { bytes }]) => sum + bytes, 0)).toBeLessThan(BUNDLE_MAX);
});
