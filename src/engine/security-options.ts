/**
 * --security-opt: which options there are, and what they say.
 */
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";

/** Everything that is said of a security option: "label=type:x_t", "label:disable"; a word alone ("no-new-privileges") is "true". */
export function securityOptions(config: HostConfig, name: string): readonly string[] {
  return (config.SecurityOpt ?? []).flatMap((option) => {
    const [, known, value = "true"] = /^([^=:]+)(?:[=:](.*))?$/s.exec(option) ?? [];
    // What Docker wrote before there were kinds.
    if (option === "disable") return name === "label" ? ["disable"] : [];
    return known === name ? [value] : [];
  });
}

/** A security option's value: what is said last. */
export function securityOption(config: HostConfig, name: string): string | undefined {
  return securityOptions(config, name).at(-1);
}

const truths = /^(1|t|T|TRUE|true|True)$/;
const falsehoods = /^(0|f|F|FALSE|false|False)$/;

/** An option that is on or off; undefined when nothing is said of it. */
export function securitySwitch(config: HostConfig, name: string): boolean | undefined {
  const value = securityOption(config, name);
  return value === undefined ? undefined : truths.test(value);
}

function refused(option: string, place: 1 | 2): Error {
  return fault("invalid", "security-option", `invalid --security-opt ${place}: "${option}"`);
}

function checkOption(option: string): void {
  if (option === "no-new-privileges" || option === "disable") return;
  const [, name = "", value] = /^([^=:]+)[=:](.*)$/s.exec(option) ?? [];
  if (value === undefined) throw refused(option, 1);
  const isSwitch = truths.test(value) || falsehoods.test(value);
  switch (name) {
    case "seccomp":
      return;
    // On a host without the module they mean nothing, as under Docker.
    case "label":
    case "apparmor":
      if (/[\0\n]/.test(value)) throw refused(option, 2);
      return;
    case "systempaths":
      if (value !== "unconfined") throw refused(option, 2);
      return;
    case "no-new-privileges":
    case "writable-cgroups":
      if (!isSwitch) throw refused(option, 2);
      return;
    default:
      throw refused(option, 2);
  }
}

/** Throws Faults in Docker's words for options that there are not. */
export function checkSecurityOptions(config: HostConfig): void {
  for (const option of config.SecurityOpt ?? []) checkOption(option);
}
