/**
 * The direction of imports: a folder of src/ may import only folders of a lower rank, and of those only the public file.
 */
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

/** The rank of each folder of src/. Folders of one rank do not know each other. */
export const ranks: Readonly<Record<string, number>> = {
  base: 0,
  spec: 1,
  gotemplate: 1,
  gotypes: 2,
  kernel: 2,
  tree: 2,
  client: 3,
  registry: 3,
  signatures: 3,
  storage: 3,
  volumes: 3,
  network: 3,
  runtime: 3,
  logging: 3,
  images: 4,
  engine: 5,
  builder: 5,
  "registry-server": 5,
  disk: 6,
  api: 6,
  cli: 6,
  main: 7,
};

/** Folders without a public file: their files are small, pure, and each one a thing of its own. */
const open = new Set(["base", "spec"]);

/** Folders that must not know what a lower rank offers, each with its reason. */
const forbidden: readonly { from: string; to: string; reason: string }[] = [
  ...[
    "images",
    "engine",
    "builder",
    "registry-server",
    "storage",
    "volumes",
    "network",
    "runtime",
    "kernel",
  ].map((to) => ({ from: "cli", to, reason: "what the CLI cannot do over HTTP it cannot do" })),
  { from: "api", to: "images", reason: "the API sees its own ports; main supplies them" },
  { from: "api", to: "runtime", reason: "the API sees its own ports; main supplies them" },
  { from: "api", to: "network", reason: "the API sees its own ports; main supplies them" },
  { from: "api", to: "storage", reason: "the API sees its own ports; main supplies them" },
  { from: "api", to: "kernel", reason: "the API makes no system call" },
  { from: "runtime", to: "client", reason: "the runtime knows no HTTP" },
];

/** The relative imports of a TypeScript source, static and dynamic. */
export function importsOf(source: string): string[] {
  const pattern = /(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;
  return Array.from(source.matchAll(pattern), (match) => match[1] ?? "");
}

/** Why `from` (a path relative to src) may not import `to`, or undefined if it may. */
export function objection(from: string, to: string): string | undefined {
  const [folder = "", target = ""] = [from.split("/")[0], to.split("/")[0]];
  if (folder === target || to.startsWith("..")) return undefined;
  const [rank, below] = [ranks[folder], ranks[target]];
  if (rank === undefined || below === undefined) return `${folder} or ${target} has no rank`;
  if (below >= rank) return `${folder} (rank ${rank}) may not know ${target} (rank ${below})`;
  const rule = forbidden.find((entry) => entry.from === folder && entry.to === target);
  if (rule !== undefined) return rule.reason;
  if (!open.has(target) && to !== `${target}/index.ts`)
    return `only ${target}/index.ts is public, not ${to}`;
  return undefined;
}

/** Every forbidden import under src/, as "file: reason". */
export function checkRanks(src: string): string[] {
  const problems: string[] = [];
  for (const file of new Glob("**/*.ts").scanSync(src)) {
    for (const specifier of importsOf(readFileSync(join(src, file), "utf8"))) {
      const target = relative(src, join(src, dirname(file), specifier));
      const problem = objection(file, target);
      if (problem !== undefined) problems.push(`src/${file}: ${problem}`);
    }
  }
  return problems;
}
