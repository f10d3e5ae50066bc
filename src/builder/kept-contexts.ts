/**
 * Contexts that stay from one build to the next, so that a client sends only what has changed.
 *
 * A kept context is a directory: its files, the list that they were made of, digests of contents that steps asked for, and a
 * state that says so. While the files are being changed there is no state: a daemon that is killed then begins anew. Nothing
 * is synced; a state counts only in the kernel's life in which it was written. What takes long is done by a thread
 * (kept-files.ts).
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { ByteStream } from "../base/compression.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ContextAnswer } from "../spec/context-list.ts";
import type { BuildThreads } from "./threads/pool.ts";

/** Which context, and which state of it its client has compared with. */
export interface KeptName {
  /** 64 hexadecimal digits. */
  readonly key: string;
  readonly generation: string;
  /** Nothing has changed since: no archive follows. */
  readonly unchanged: boolean;
}

/** A context that nobody else uses until it is closed. */
export interface KeptContext {
  readonly root: string;
  /** The file of digests of contents. */
  readonly digests: string;
  /** What whole COPYs of these files came to, by what they ask for; what is added is there next time. */
  readonly copies: Map<string, string>;
  close(): void;
}

/** A context as a record of the cache. */
export interface KeptContextInfo {
  readonly id: string;
  readonly path: string;
  /** Bytes on the disk, about. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly usedAt: number;
  readonly uses: number;
  readonly inUse: boolean;
}

interface State {
  readonly boot: string;
  readonly generation: string;
  /** The digest of the list, if the files are just what it says. */
  readonly list: string | undefined;
  readonly bytes: number;
  readonly createdAt: number;
  /** By how many builds. */
  readonly uses: number;
  readonly copies: Readonly<Record<string, string>>;
}

/** So many contexts stay, and so long; milliseconds. */
const KEPT_MAX = 8;
const AGE_MAX = 3 * 24 * 3600_000;
const KEY = /^[0-9a-f]{64}$/;

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function checkKey(key: string): void {
  if (!KEY.test(key)) throw fault("invalid", "build-context", `invalid key of a context: ${key}`);
}

/** Throws a Fault "conflict" that makes a client send the whole context. */
function another(): Error {
  return fault("conflict", "build-context-use", "the context is another now: it is sent whole");
}

/** What contexts need of others. */
export interface KeptDeps {
  readonly threads: BuildThreads;
  /** Takes a tree away at once; its files go beside the event loop. */
  readonly discard: (path: string) => void;
}

/** The contexts of one daemon. */
export class KeptContexts {
  private readonly busy = new Set<string>();
  private readonly boot = bootId();

  constructor(
    private readonly root: string,
    private readonly deps: KeptDeps,
  ) {
    this.sweep();
  }

  private path(key: string, name: string): string {
    return `${this.root}/${key}/${name}`;
  }

  private listOf(key: string, state: State | undefined): string | undefined {
    return state && this.path(key, `list-${state.generation}.json`);
  }

  private read(key: string): State | undefined {
    try {
      const state = JSON.parse(readFileSync(this.path(key, "state.json"), "utf8")) as State;
      return state.boot === this.boot && Number.isFinite(state.bytes) ? state : undefined;
    } catch {
      return undefined;
    }
  }

  private write(key: string, state: State): void {
    const path = this.path(key, "state.json");
    writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /**
   * Which of a context's files are to be sent: of the list that `body` is, or of one that is known by its digest alone. Rejects
   * with a Fault "conflict" while another build uses the context.
   */
  async compare(key: string, digest: string, body: ByteStream): Promise<ContextAnswer> {
    this.checkFree(key);
    const state = this.read(key);
    const generation = state?.generation ?? "";
    if (digest !== "") return { generation, wanted: [], unchanged: digest === state?.list };
    const before = this.listOf(key, state);
    const wanted = await this.deps.threads.run("compareContext", { before }, { body });
    return { generation, wanted };
  }

  private checkFree(key: string): void {
    checkKey(key);
    if (this.busy.has(key))
      throw fault(
        "conflict",
        "build-context-use",
        "the context is in use: it has to be sent whole",
      );
  }

  /**
   * Brings a context up to date with an archive: its list, then the files that were wanted. Throws a Fault "conflict" when
   * another build uses it, or has changed it since the client compared: it has to be sent whole then.
   */
  async open(name: KeptName, archive: ByteStream, signal: AbortSignal): Promise<KeptContext> {
    const { key } = name;
    this.checkFree(key);
    this.busy.add(key);
    try {
      const state = this.read(key);
      if ((state?.generation ?? "") !== name.generation) throw another();
      if (!name.unchanged) return this.opened(key, await this.update(key, state, archive, signal));
      if (state?.list === undefined) throw another();
      return this.opened(key, state);
    } catch (error) {
      this.busy.delete(key);
      throw error;
    }
  }

  private opened(key: string, state: State): KeptContext {
    const copies = new Map(Object.entries(state.copies));
    const close = () => {
      try {
        const uses = state.uses + 1;
        this.write(key, { ...state, uses, copies: Object.fromEntries(copies) });
      } catch (error) {
        // On a full disk, say; what it says now is true, too.
        log.debug("note the use of a context", { key, error: messageOf(error) });
      }
      this.busy.delete(key);
      this.sweep();
    };
    const digests = this.path(key, "digests");
    return { root: this.path(key, "files"), digests, copies, close };
  }

  private async update(
    key: string,
    state: State | undefined,
    body: ByteStream,
    signal: AbortSignal,
  ): Promise<State> {
    rmSync(this.path(key, "state.json"), { force: true });
    if (state === undefined) this.deps.discard(`${this.root}/${key}`);
    mkdirSync(this.path(key, "files"), { recursive: true, mode: 0o700 });
    const before = this.listOf(key, state);
    const generation = crypto.randomUUID();
    const { boot } = this;
    const { createdAt = Date.now(), uses = 0 } = state ?? {};
    const next = { boot, generation, createdAt, uses, copies: {} };
    const made = await this.deps.threads.run(
      "updateContext",
      {
        ...{ before, after: this.path(key, `list-${generation}.json`) },
        ...{ root: this.path(key, "files"), digests: this.path(key, "digests") },
      },
      { body, signal },
    );
    const now = { ...next, ...made };
    this.write(key, now);
    if (before !== undefined) rmSync(before, { force: true });
    return now;
  }

  /** All of them. */
  all(): KeptContextInfo[] {
    return readdirSync(this.root)
      .filter((id) => KEY.test(id))
      .map((id) => {
        const state = this.read(id);
        const { mtimeMs = 0 } =
          statSync(this.path(id, "state.json"), { throwIfNoEntry: false }) ?? {};
        return {
          ...{ id, path: `${this.root}/${id}`, inUse: this.busy.has(id), usedAt: mtimeMs },
          ...{ size: state?.bytes ?? 0, createdAt: state?.createdAt ?? 0 },
          uses: state?.uses ?? 0,
        };
      });
  }

  /** Takes one away; says whether it did: not while a build uses it. */
  remove(id: string): boolean {
    const path = `${this.root}/${id}`;
    if (!KEY.test(id) || this.busy.has(id) || !existsSync(path)) return false;
    this.deps.discard(path);
    return true;
  }

  /** Forgets contexts that nobody has used for long, and the oldest of too many. */
  private sweep(): void {
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    // Without a state one is of no use to anybody.
    const all = this.all().sort((a, b) => b.usedAt - a.usedAt);
    for (const [index, { id, usedAt }] of all.entries())
      if (index >= KEPT_MAX || usedAt < Date.now() - AGE_MAX) this.remove(id);
  }
}
