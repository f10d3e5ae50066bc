/**
 * Archives by GNU tar, so that what berth packs and unpacks is not judged by its own code.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Files by their path. */
export type Files = Readonly<Record<string, string>>;

function within<T>(use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "bt-tar-"));
  try {
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function tar(args: readonly string[], input?: Uint8Array): Buffer {
  const { status, stdout, stderr } = spawnSync("tar", args, {
    ...(input === undefined ? {} : { input }),
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`tar: ${stderr}`);
  return stdout;
}

/** An archive with these files. */
export function tarOf(files: Readonly<Record<string, string | Uint8Array>>): Buffer {
  return within((directory) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    return tar(["-c", "-C", directory, ...readdirSync(directory)]);
  });
}

/** An archive's regular files; those of `paths` only when given. */
export function filesOf(archive: Uint8Array, ...paths: string[]): Files {
  return within((directory) => {
    tar(["-x", "-C", directory, ...paths], archive);
    const found = readdirSync(directory, { recursive: true, withFileTypes: true });
    return Object.fromEntries(
      found
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((path) => [path.slice(directory.length + 1), readFileSync(path, "utf8")]),
    );
  });
}
