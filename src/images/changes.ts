/**
 * `--change` of import and commit: a few Dockerfile instructions that change an image's configuration.
 */
import { fault } from "../base/errors.ts";
import type { ImageConfig } from "../spec/engine-api.ts";
import { exposedPorts } from "../spec/exposed-ports.ts";

type Mutable = { -readonly [K in keyof ImageConfig]: ImageConfig[K] };

function bad(instruction: string, why: string): Error {
  return fault("invalid", "change", `${instruction}: ${why}`);
}

/** A JSON list of strings, or undefined if the text is none. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string")
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/** Words, with shell quoting of ' " and \. */
function words(text: string): string[] {
  const out: string[] = [];
  const pattern = /((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)/g;
  for (const [word] of text.matchAll(pattern))
    out.push(
      word.replace(
        /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/g,
        (_, a?: string, b?: string, c?: string) => a?.replace(/\\(.)/g, "$1") ?? b ?? c ?? "",
      ),
    );
  return out;
}

function pairs(instruction: string, text: string): [string, string][] {
  const list = words(text);
  if (list.length > 0 && !list[0]?.includes("=")) {
    const [key = ""] = text.split(/\s+/, 1);
    const value = text.slice(key.length).trim();
    if (value === "") throw bad(instruction, "must have two arguments");
    return [[key, value]];
  }
  return list.map((word) => {
    const equals = word.indexOf("=");
    if (equals <= 0)
      throw bad(
        instruction,
        `Syntax error - can't find = in "${word}". Must be of the form: name=value`,
      );
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

function command(config: Mutable, text: string): string[] {
  return jsonList(text) ?? [...(config.Shell ?? ["/bin/sh", "-c"]), text];
}

const instructions: Readonly<Record<string, (config: Mutable, text: string) => void>> = {
  CMD: (config, text) => {
    config.Cmd = command(config, text);
  },
  ENTRYPOINT: (config, text) => {
    config.Entrypoint = command(config, text);
  },
  ENV: (config, text) => {
    const env = new Map((config.Env ?? []).map((item) => [item.split("=", 1)[0] ?? "", item]));
    for (const [key, value] of pairs("ENV", text)) env.set(key, `${key}=${value}`);
    config.Env = [...env.values()];
  },
  LABEL: (config, text) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairs("LABEL", text)) };
  },
  EXPOSE: (config, text) => {
    for (const word of words(text)) {
      const ports = exposedPorts(word);
      if (ports === undefined) throw bad("EXPOSE", `invalid port ${word}`);
      const added = Object.fromEntries(ports.map((port) => [port, {}]));
      config.ExposedPorts = { ...config.ExposedPorts, ...added };
    }
  },
  VOLUME: (config, text) => {
    for (const path of jsonList(text) ?? words(text))
      config.Volumes = { ...config.Volumes, [path]: {} };
  },
  USER: (config, text) => {
    config.User = text;
  },
  WORKDIR: (config, text) => {
    config.WorkingDir = text.startsWith("/") ? text : `${config.WorkingDir ?? ""}/${text}`;
  },
  STOPSIGNAL: (config, text) => {
    config.StopSignal = text;
  },
  ONBUILD: (config, text) => {
    config.OnBuild = [...(config.OnBuild ?? []), text];
  },
  HEALTHCHECK: (config, text) => {
    if (text.toUpperCase() === "NONE") {
      config.Healthcheck = { Test: ["NONE"] };
      return;
    }
    const match = /^CMD\s+(.+)$/i.exec(text);
    if (match?.[1] === undefined)
      throw bad("HEALTHCHECK", "use HEALTHCHECK CMD command or HEALTHCHECK NONE");
    const list = jsonList(match[1]);
    config.Healthcheck = { Test: list ? ["CMD", ...list] : ["CMD-SHELL", match[1]] };
  },
};

/** Applies instructions in order. Throws a Fault "invalid" for one that may not stand here. */
export function applyChanges(config: ImageConfig, changes: readonly string[]): ImageConfig {
  const changed: Mutable = { ...config };
  for (const line of changes.flatMap((change) => change.split("\n"))) {
    const match = /^\s*(\w+)\s*(.*?)\s*$/.exec(line);
    if (match === null) continue;
    const [, word = "", text = ""] = match;
    const apply = instructions[word.toUpperCase()];
    if (apply === undefined)
      throw fault("invalid", "change", `${word.toLowerCase()} is not a valid change command`);
    if (text === "") throw bad(word.toUpperCase(), "requires at least one argument");
    apply(changed, text);
  }
  return changed;
}
