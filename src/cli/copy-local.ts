/**
 * Files of this machine as an archive, and an archive as files of this machine, for `cp`.
 */
import { closeSync } from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { TarReader } from "../base/tar.ts";
import { tarEnd } from "../base/tar-writer.ts";
import {
  Extractor,
  openRoot,
  Packer,
  type Privileged,
  placeIn,
  TargetTree,
  walkMerged,
} from "../tree/index.ts";
import { type CopyInfo, type CopyPlan, renamed, splitEntry } from "./copy-paths.ts";

const S_IFMT = 0o170000;
const kinds: Readonly<Record<number, string>> = { 2401: "p", 4802: "c", 14406: "b" };

/** What a user may do: nodes as mknod(1) makes them, and no attributes of the security modules. */
const asUser: Privileged = {
  async mknod(path, mode, major, minor) {
    const kind = kinds[mode & S_IFMT] ?? "p";
    const numbers = kind === "p" ? [] : [String(major), String(minor)];
    const permissions = (mode & 0o7777).toString(8);
    const done = Bun.spawnSync(["mknod", "-m", permissions, path, kind, ...numbers]);
    if (done.exitCode !== 0) throw new Error(done.stderr.toString().trim());
  },
  async setXattr() {},
  async xattrs() {
    return new Map();
  },
};

/** The source as an archive whose names begin with its last component, or with what the plan makes of that. */
export async function* packLocal(source: CopyInfo, rename: CopyPlan["rename"]): ByteStream {
  const { directory, name } = splitEntry(source.path);
  const parent = openRoot(name === "." ? source.path : directory || ".");
  const packer = new Packer(asUser);
  const first = renamed(source.rebase || name, rename);
  try {
    const place = placeIn(parent, name);
    if (place === undefined) throw new Error(`lstat ${source.path}: no such file or directory`);
    yield* packer.entry(first, place);
    if (place.info.isDirectory()) {
      const root = place.openDirectory();
      try {
        for await (const { path, place: inner } of walkMerged(asUser, [root]))
          yield* packer.entry(`${first}/${path}`, inner);
      } finally {
        closeSync(root);
      }
    }
    yield tarEnd();
  } finally {
    closeSync(parent);
  }
}

/** Counts the bytes that pass. */
export async function* counted(source: ByteStream, count: (bytes: number) => void): ByteStream {
  for await (const piece of source) {
    count(piece.length);
    yield piece;
  }
}

/** Unpacks below a directory of this machine, under other names; everything belongs to whoever calls. */
export async function unpackLocal(
  archive: ByteStream,
  directory: string,
  rename: (path: string) => string,
): Promise<void> {
  const root = openRoot(`${directory}/.`);
  const tree = new TargetTree(root);
  try {
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const options = { whiteouts: "keep", owner, keepKinds: true, rename } as const;
    const reader = new TarReader(archive);
    await new Extractor(tree, asUser, options).extract(reader);
    await reader.drain();
  } finally {
    tree.close();
    closeSync(root);
  }
}
