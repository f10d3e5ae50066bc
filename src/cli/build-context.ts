/**
 * A directory of this machine as a build's context: everything that .dockerignore does not leave out, and what the build
 * needs in any case.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import type { ByteStream } from "../base/compression.ts";
import { IgnoreRules, ignorePatterns } from "../base/dockerignore.ts";
import { tarEnd, tarHeader, tarPadding } from "../base/tar-writer.ts";
import { closeAll, namesIn, openRoot, Packer, type Privileged, placeIn } from "../tree/index.ts";

/** No attributes: a context has none that count. */
const plain: Privileged = {
  mknod: async () => {},
  setXattr: async () => {},
  xattrs: async () => new Map(),
};

/** A context, found on this machine. */
export interface LocalContext {
  /** Where its Dockerfile is in the context. */
  readonly dockerfile: string;
  /** The files that will be sent, for whoever wants to see them. */
  paths(): string[];
  archive(): ByteStream;
}

/** A file that stands in the archive without being in the directory. */
export interface ExtraFile {
  readonly path: string;
  readonly content: Uint8Array;
}

/** One file as entries of an archive. */
export function* fileEntries({ path, content }: ExtraFile): Generator<Uint8Array> {
  yield tarHeader({
    path,
    type: "file",
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: content.length,
    mtime: 0,
    linkPath: "",
    major: 0,
    minor: 0,
    xattrs: new Map(),
  });
  yield content;
  yield tarPadding(content.length);
}

/** Walks what is not left out; a directory is told when something in it is sent or it is not left out itself. */
async function* walk(
  directory: string,
  rules: IgnoreRules,
  always: ReadonlySet<string>,
  packer: Packer,
): ByteStream {
  async function* below(fd: number, prefix: string): ByteStream {
    for (const name of namesIn([fd])) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      const place = placeIn(fd, name);
      if (place === undefined) continue;
      const kept = always.has(path) || !rules.ignores(path);
      const isDirectory = place.info.isDirectory();
      if (
        isDirectory &&
        !kept &&
        rules.prunes(path) &&
        ![...always].some((one) => one.startsWith(`${path}/`))
      )
        continue;
      if (kept || isDirectory) yield* packer.entry(path, place);
      if (!isDirectory) continue;
      const inner = place.openDirectory();
      try {
        yield* below(inner, path);
      } finally {
        closeAll([inner]);
      }
    }
  }
  const root = openRoot(`${directory}/.`);
  try {
    yield* below(root, "");
  } finally {
    closeAll([root]);
  }
}

/** The Dockerfile's place in the context, or its content when it lies outside. */
function findDockerfile(directory: string, file: string): { path: string; outside?: ExtraFile } {
  if (file === "") {
    const usual = ["Dockerfile", "dockerfile"].find((name) => existsSync(join(directory, name)));
    return { path: usual ?? "Dockerfile" };
  }
  const whole = isAbsolute(file) ? file : resolve(file);
  const inside = relative(resolve(directory), whole);
  if (!existsSync(whole))
    throw new Error(
      `unable to evaluate symlinks in Dockerfile path: lstat ${whole}: no such file or directory`,
    );
  if (!inside.startsWith("..") && !isAbsolute(inside)) return { path: inside };
  const path = `.dockerfile.${crypto.randomUUID().slice(0, 20)}`;
  return { path, outside: { path, content: readFileSync(whole) } };
}

function ignoreRules(directory: string, dockerfile: string, outside: string): IgnoreRules {
  const own =
    outside === "" ? join(directory, `${dockerfile}.dockerignore`) : `${outside}.dockerignore`;
  const file = [own, join(directory, ".dockerignore")].find((path) => existsSync(path));
  return new IgnoreRules(file === undefined ? [] : ignorePatterns(readFileSync(file, "utf8")));
}

/** Finds a directory's context. Throws an Error in Docker's words. */
export function localContext(directory: string, file: string): LocalContext {
  const info = statSync(directory, { throwIfNoEntry: false });
  if (info === undefined)
    throw new Error(`unable to prepare context: path ${JSON.stringify(directory)} not found`);
  if (!info.isDirectory())
    throw new Error(`unable to prepare context: context must be a directory: ${directory}`);
  const { path, outside } = findDockerfile(directory, file);
  const rules = ignoreRules(directory, path, outside === undefined ? "" : file);
  const always = new Set([path, `${path}.dockerignore`, ".dockerignore"]);
  const sent: string[] = [];
  const packer = new Packer(plain, false, (entry) => {
    if (entry.type !== "directory") sent.push(entry.path);
    return { ...entry, uid: 0, gid: 0 };
  });
  async function* archive(): ByteStream {
    yield* walk(directory, rules, always, packer);
    if (outside !== undefined) yield* fileEntries(outside);
    yield tarEnd();
  }
  return { dockerfile: path, archive, paths: () => sent };
}
