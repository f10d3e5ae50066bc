/**
 * Platforms as users write them: "linux/arm64/v8", "amd64", and the JSON objects of newer requests.
 */

import { fault } from "../base/errors.ts";
import { own } from "../base/own.ts";

/** What a platform is asked for by; only the operating system and the processor are sure to be there. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

const architectures: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  "x86-64": "amd64",
  aarch64: "arm64",
  armhf: "arm",
  armel: "arm",
  i386: "386",
};
const known = new Set(
  "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x".split(" "),
);

function bad(text: string, why: string): Error {
  return fault("invalid", "platform", `${JSON.stringify(text)}${why}: invalid argument`);
}

function normal(os: string, architecture: string, variant: string | undefined): Platform {
  const name = architecture.toLowerCase();
  return {
    os: os.toLowerCase(),
    architecture: own(architectures, name) ?? name,
    ...(variant ? { variant } : {}),
  };
}

/** Parses "OS/ARCH/VARIANT", "OS/ARCH", "OS" or "ARCH". Throws a Fault "invalid" in Docker's words. */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const odd = parts.find((part) => !/^[A-Za-z0-9_.-]+$/.test(part));
  if (odd !== undefined)
    throw bad(
      odd,
      ` is an invalid component of ${JSON.stringify(text)}: platform specifier component must match "^[A-Za-z0-9_.-]+$"`,
    );
  const [first = "", second, variant] = parts;
  if (parts.length > 3) throw bad(text, ": cannot parse platform specifier");
  if (second !== undefined) return normal(first, second, variant);
  // An operating system alone is that on what this machine is.
  const here = process.arch === "x64" ? "amd64" : process.arch;
  if (first.toLowerCase() === "linux") return normal("linux", here, undefined);
  const alone = normal("linux", first, undefined);
  if (!known.has(alone.architecture)) throw bad(text, ": unknown operating system or architecture");
  return alone;
}

/** Parses the JSON object of a query. Throws a Fault "invalid" for anything else. */
export function parsePlatformJson(text: string): Platform {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const { os, architecture, variant } = (value ?? {}) as Record<string, unknown>;
  if (typeof os !== "string" || typeof architecture !== "string")
    throw fault("invalid", "platform", `invalid platform: ${text.slice(0, 200)}`);
  return normal(os, architecture, typeof variant === "string" ? variant : undefined);
}

/** The same with the variant that everybody writes (containerd's platforms.Normalize): arm64 alone means v8, arm v7. */
export function usualPlatform({ os, architecture, variant = "" }: Platform): Platform {
  const named = /^\d+$/.test(variant) ? `v${variant}` : variant;
  const chosen = architecture === "arm" && named === "" ? "v7" : named;
  const isImplied = { amd64: "v1", arm64: "v8" }[architecture] === chosen;
  return { os, architecture, ...(chosen === "" || isImplied ? {} : { variant: chosen }) };
}

/** "linux/arm64/v8". */
export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join("/");
}

/** Whether what is there is what is wanted; a variant counts only where both name one. */
export function platformFits(wanted: Platform, there: Platform): boolean {
  return (
    wanted.os === there.os &&
    wanted.architecture === there.architecture &&
    (!wanted.variant || !there.variant || wanted.variant === there.variant)
  );
}

/** A processor with its variant as a number: what is not said is what everybody means by it. */
function processorOf({ architecture, variant = "" }: Platform): { name: string; level: number } {
  const usual: Readonly<Record<string, number>> = { amd64: 1, arm64: 8, arm: 7 };
  const level = /^v?(\d{1,3})$/.exec(variant)?.[1];
  const fallback = variant === "" ? (usual[architecture] ?? 0) : Number.NaN;
  return { name: architecture, level: level === undefined ? fallback : Number(level) };
}

/** The processors of which a processor runs programs, too (containerd's platforms.Only), as far as they are others. */
const relatives: Readonly<Record<string, string>> = { amd64: "386", arm64: "arm" };

/**
 * How well what is there is what is wanted: 0 is exactly so, more is worse, undefined is not at all. A processor runs what
 * was made for its lower variants.
 */
export function platformRank(wanted: Platform, there: Platform): number | undefined {
  if (wanted.os !== there.os) return undefined;
  const [own, other] = [processorOf(wanted), processorOf(there)];
  if (own.name === other.name) {
    if (wanted.variant === there.variant) return 0;
    const below = own.level - other.level;
    // A variant without a number is itself only.
    return below >= 0 ? below : undefined;
  }
  if (relatives[own.name] !== other.name) return undefined;
  return other.name === "arm" && !(other.level <= 8) ? undefined : 100 - other.level;
}
