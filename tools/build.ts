/**
 * Builds dist/: the C programs, the image that is built into the executable, and the executable itself. A part is built
 * again only when the content that it is made from has changed.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { builtinImage } from "./builtin-image.ts";

const root = join(import.meta.dir, "..");
const dist = join(root, "dist");
const parts = join(dist, "parts");

function contentKey(patterns: readonly string[], extra: readonly string[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  const files = patterns.flatMap((pattern) => Array.from(new Glob(pattern).scanSync(root))).sort();
  for (const file of files) {
    hash.update(`${file}\0`);
    hash.update(readFileSync(join(root, file)));
  }
  for (const text of extra) hash.update(`${text}\0`);
  return hash.digest("hex");
}

/** Makes `target` if its recorded key is another one; the recipe writes to a temporary path. */
function build(target: string, key: string, recipe: (temporary: string) => void): void {
  const stamp = join(parts, `${target.replaceAll("/", "-")}.key`);
  const path = join(dist, target);
  if (existsSync(path) && existsSync(stamp) && readFileSync(stamp, "utf8") === key) {
    utimesSync(path, new Date(), new Date());
    return;
  }
  console.error(`berth: building dist/${target}`);
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true });
  recipe(temporary);
  renameSync(temporary, path);
  writeFileSync(stamp, key);
}

function run(argv: readonly string[]): void {
  const done = Bun.spawnSync([...argv], { cwd: root, stdout: "inherit", stderr: "inherit" });
  if (done.exitCode !== 0) {
    console.error(`berth: ${argv.join(" ")} failed`);
    process.exit(1);
  }
}

mkdirSync(parts, { recursive: true });
for (const program of ["shim", "helper"]) {
  build(
    `parts/berth-${program}`,
    contentKey([`native/${program}/*.{c,h}`, `native/${program}/build.sh`, "native/*.h"], []),
    (out) => run(["sh", `native/${program}/build.sh`, out]),
  );
}
const busybox = "/bin/busybox";
build(
  "parts/busybox.tar",
  contentKey(["tools/builtin-image.ts"], [Bun.hash(readFileSync(busybox)).toString(16)]),
  (out) => writeFileSync(out, builtinImage(readFileSync(busybox))),
);
build(
  "berth",
  contentKey(
    [
      "src/**/*.ts",
      "dist/parts/berth-*",
      "dist/parts/busybox.tar",
      "bun.lock",
      "package.json",
      "tools/build.ts",
    ],
    [Bun.version],
  ),
  (out) => {
    // Split and as bytecode: a command then parses nothing and loads only its own code (9 ms instead of 45).
    const shape = ["--compile", "--splitting", "--bytecode", "--format=esm"];
    const smaller = ["--minify-whitespace", "--minify-syntax"];
    // A bunfig.toml (which may name code to load) or .env where the user happens to stand is not berth's business.
    const deaf = ["--no-compile-autoload-bunfig", "--no-compile-autoload-dotenv"];
    // A short command ends before compiled code pays off; src/main/cli.ts sets the usual policy for what lasts.
    const patient = ["--compile-jit-policy=30"];
    // A thread begins with a file of its own; who starts it knows its name in the executable.
    const threads = ["src/storage/unpack-worker.ts", "src/builder/threads/worker.ts"];
    const entries = ["src/main/cli.ts", ...threads, "--outfile", out];
    run([process.execPath, "build", ...shape, ...smaller, ...deaf, ...patient, ...entries]);
  },
);
