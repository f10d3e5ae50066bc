/**
 * What a check finds, and how it says it.
 */
import type { HostView } from "./host.ts";

/** How bad it is: `fail`, containers do not run; `warn`, something is missing or slower. */
export type Grade = "ok" | "warn" | "fail";

/** What a check has found. */
export interface Finding {
  readonly grade: Grade;
  readonly found: string;
  /** What it means, where it is not well. */
  readonly means?: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** One check. */
export interface Check {
  readonly name: string;
  readonly run: (host: HostView) => Finding | Promise<Finding>;
}

/** All is well. */
export const ok = (found: string): Finding => ({ grade: "ok", found });
/** Something is missing or slower. */
export const warn = (found: string, means: string, advice: string): Finding => ({
  ...{ grade: "warn", found, means, advice },
});
/** Containers do not run. */
export const fail = (found: string, means: string, advice: string): Finding => ({
  ...{ grade: "fail", found, means, advice },
});

/** The number that a file of the kernel's has; undefined: there is none. */
export function number(host: HostView, path: string): number | undefined {
  const text = host.read(path)?.trim();
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

/** Whether a kernel, such as "6.1.0-amd64", is that or later. */
export function versionAtLeast(kernel: string, [major, minor]: readonly [number, number]): boolean {
  const [own = 0, part = 0] = kernel.split(".").map((text) => Number.parseInt(text, 10));
  return own > major || (own === major && part >= minor);
}
