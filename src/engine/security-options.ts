/**
 * --security-opt: which options there are, and what they say.
 */
import { existsSync } from "node:fs";
import { fault } from "../base/errors.ts";
import type { HostConfig } from "../spec/engine-api.ts";

/** A security option's value: "no-new-privileges", "no-new-privileges=true", "seccomp=unconfined", with ":" for "=" too. */
export function securityOption(config: HostConfig, name: string): string | undefined {
  for (const option of config.SecurityOpt ?? []) {
    const match = /^([^=:]+)(?:[=:](.*))?$/s.exec(option);
    if (match?.[1] === name) return match[2] ?? "true";
  }
  return undefined;
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

/** A profile or label that this host would enforce and berth cannot set; on other hosts it means nothing, as under Docker. */
function checkModule(option: string, name: string, active: string): void {
  if (!existsSync(active)) return;
  throw fault(
    "unsupported",
    "security-module",
    `${option}: this host has ${name}, whose profiles berth does not set; leave the option away, or run under --runtime runc`,
  );
}

function checkOption(option: string): void {
  if (option === "no-new-privileges" || option === "disable") return;
  const [, name = "", value] = /^([^=:]+)[=:](.*)$/s.exec(option) ?? [];
  if (value === undefined) throw refused(option, 1);
  const isSwitch = truths.test(value) || falsehoods.test(value);
  switch (name) {
    case "seccomp":
      return;
    case "label":
      if (value !== "disable") checkModule(option, "SELinux", "/sys/fs/selinux/enforce");
      return;
    case "apparmor":
      if (value !== "unconfined") checkModule(option, "AppArmor", "/sys/kernel/security/apparmor");
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
