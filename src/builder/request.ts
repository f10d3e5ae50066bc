/**
 * What a build is asked for.
 */
import { fault } from "../base/errors.ts";
import type { BuildEvent } from "../spec/build-events.ts";
import type { Platform } from "../spec/platform.ts";
import type { TreeSpec } from "./copy/spec.ts";
import type { NamedContexts } from "./named-contexts.ts";
import type { StepLimits } from "./ports.ts";
import type { GitAccess } from "./repositories.ts";
import type { SharedCaches } from "./shared/index.ts";

/** Something of the host that a RUN has only if whoever builds allows it. */
export type Entitlement = "network.host" | "security.insecure";

/** SOURCE_DATE_EPOCH among the arguments, in seconds since 1970. Throws a Fault "invalid" for what is no number. */
export function epochOf(args: ReadonlyMap<string, string>): number | undefined {
  const given = args.get("SOURCE_DATE_EPOCH");
  if (given === undefined || given === "") return undefined;
  if (/^\d{1,12}$/.test(given)) return Number(given);
  throw fault("invalid", "build-epoch", `invalid SOURCE_DATE_EPOCH: ${given}`);
}

/** A build. */
export interface BuildRequest {
  /** The Dockerfile's text. */
  readonly dockerfile: string;
  readonly context: TreeSpec;
  /**
   * Digests of COPYs from the context, by what they ask for; good as long as the context is what it is, and added to. Undefined
   * where nobody keeps them.
   */
  readonly knownCopies: Map<string, string> | undefined;
  /** Where the context's files are on the host, for RUN --mount. */
  readonly contextDirectory: string;
  /** What --build-context names. */
  readonly named: NamedContexts;
  /** A directory for what is fetched; whoever has asked for the build takes it away. */
  readonly scratch: string;
  readonly target: string;
  readonly args: ReadonlyMap<string, string>;
  /** The platform of the image; the host's own when undefined. */
  readonly platform: Platform | undefined;
  readonly hostPlatform: Platform;
  readonly noCache: boolean;
  /** Stages whose steps are done again, by their names. */
  readonly noCacheFilter: readonly string[];
  /** Caches of other hosts. */
  readonly shared: SharedCaches;
  readonly pull: boolean;
  /** Which Dockerfile of which context this is, to compare with what was built of it before. */
  readonly project: string;
  /** Tells why steps are not taken from the cache. */
  readonly explain: boolean;
  /** Makes an image of what there was before a step that fails. */
  readonly keepFailed: boolean;
  /** What of the host RUN may have. */
  readonly allowed: ReadonlySet<Entitlement>;
  readonly limits: StepLimits;
  readonly labels: Readonly<Record<string, string>>;
  /** By their ids. */
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** Agents of ssh that the client lets be used, by their ids. */
  readonly agents: ReadonlySet<string>;
  /** What repositories may be fetched, and with what. */
  readonly git: GitAccess;
  readonly signal: AbortSignal;
  readonly report: (event: BuildEvent) => void;
}
