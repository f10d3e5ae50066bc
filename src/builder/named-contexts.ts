/**
 * The named contexts of a build: what FROM, COPY --from and RUN --mount=from= may mean beside stages and images. One takes the
 * place of a stage or an image of its name.
 */
import type { ByteStream } from "../base/compression.ts";
import type { PartsReader } from "../base/parts.ts";
import { contextName, type NamedContextSource } from "../spec/named-contexts.ts";
import { type ContextDeps, type ContextSource, type FileContext, openFiles } from "./context.ts";
import type { TreeSpec } from "./copy/spec.ts";
import type { KeptContexts } from "./kept-contexts.ts";

/** Files that a name means. */
export interface NamedTree {
  readonly tree: TreeSpec;
  /** Where they are on the host. */
  readonly directory: string;
}

/** What a name means. */
export type NamedContext =
  | { readonly kind: "image"; readonly reference: string }
  | ({ readonly kind: "tree" } & NamedTree);

/** What contexts are opened with. */
export interface NamedContextDeps extends ContextDeps {
  /** Where their directories are made. */
  readonly parent: string;
  readonly kept: KeptContexts;
  /** Takes an archive of an image in; gives the image's id. */
  readonly load: (archive: ByteStream) => Promise<string>;
  readonly signal: AbortSignal;
}

/** The named contexts of one build, there until they are closed. */
export class NamedContexts {
  private readonly found = new Map<string, () => Promise<NamedContext>>();
  private readonly opened: FileContext[] = [];

  private constructor(private readonly deps: NamedContextDeps) {}

  /** Takes in what was sent, in its order; addresses are fetched when somebody needs them. Nothing is left when it rejects. */
  static async open(
    sources: readonly NamedContextSource[],
    parts: PartsReader | undefined,
    deps: NamedContextDeps,
  ): Promise<NamedContexts> {
    const contexts = new NamedContexts(deps);
    try {
      for (const source of sources) {
        const archive =
          source.kind === "directory" || source.kind === "layout" ? await parts?.next() : undefined;
        await contexts.add(source, archive ?? nothing());
      }
      return contexts;
    } catch (error) {
      contexts.close();
      throw error;
    }
  }

  private async add(source: NamedContextSource, archive: ByteStream): Promise<void> {
    const { deps, found } = this;
    const { name } = source;
    if (source.kind === "image") {
      const { reference } = source;
      found.set(name, async () => ({ kind: "image", reference }));
    } else if (source.kind === "layout") {
      const reference = await deps.load(archive);
      found.set(name, async () => ({ kind: "image", reference }));
    } else if (source.kind === "remote") {
      let fetched: Promise<NamedContext> | undefined;
      const { address } = source;
      found.set(name, () => (fetched ??= this.files({ kind: "remote", address })));
    } else {
      const files = await this.files(
        source.kept === undefined
          ? { kind: "archive", archive }
          : { kind: "kept", contexts: deps.kept, name: source.kept, archive },
      );
      found.set(name, async () => files);
    }
  }

  private async files(source: ContextSource): Promise<NamedContext> {
    const { parent, signal } = this.deps;
    const files = await openFiles(source, parent, this.deps, signal);
    this.opened.push(files);
    return { kind: "tree", tree: files.tree, directory: files.directory };
  }

  /** What a name means; undefined when no context has it. */
  async find(name: string): Promise<NamedContext | undefined> {
    return this.found.get(formOf(name))?.();
  }

  has(name: string): boolean {
    return this.found.has(formOf(name));
  }

  close(): void {
    for (const one of this.opened.splice(0)) one.close();
  }
}

function formOf(name: string): string {
  try {
    return contextName(name);
  } catch {
    // An id, or what is no name at all: no context has it.
    return "";
  }
}

async function* nothing(): ByteStream {}
