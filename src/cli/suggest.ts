/**
 * What somebody may have meant, for a person at a terminal; scripts get docker's words and nothing else.
 */
import type { ApiClient } from "../client/index.ts";
import { isTerminal } from "./terminal.ts";

/** As many letters may be wrong for each so many that there are. */
const LETTERS_A_MISTAKE = 3;

/** How many letters must be added, taken away, changed or swapped with their neighbours to make one word of the other. */
export function distance(a: string, b: string): number {
  let [before, last]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_, at) => at),
  ];
  for (let row = 1; row <= a.length; row++) {
    const now = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (now[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (row > 1 && column > 1 && swapped) least = Math.min(least, (before[column - 2] ?? 0) + 1);
      now.push(least);
    }
    [before, last] = [last, now];
  }
  return last[b.length] ?? 0;
}

/** The word that is near enough to have been meant. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(word.length / LETTERS_A_MISTAKE));
  const [best] = words
    .map((one) => ({ one, far: distance(word.toLowerCase(), one.toLowerCase()) }))
    .filter(({ one, far }) => far <= most && one !== word)
    .toSorted((x, y) => x.far - y.far || (x.one < y.one ? -1 : 1));
  return best?.one;
}

function hint(word: string, words: readonly string[], more = ""): string {
  if (!isTerminal(2)) return "";
  const meant = nearest(word, words);
  return meant === undefined ? "" : `Did you mean ${more}${meant}?\n`;
}

/** For a command that there is not. */
export function meantCommand(word: string, words: readonly string[]): string {
  return hint(word, words);
}

/** For a flag that there is not, by pflag's message. */
export function meantFlag(message: string, names: readonly string[]): string {
  const word = /^unknown flag: --(.+)$/.exec(message)?.[1];
  return word === undefined ? "" : hint(word, names, "--");
}

type Kind = "container" | "image" | "volume" | "network" | "context" | "object";

/** What each message says is missing: the first group is its name. */
const MISSING: readonly (readonly [Kind, RegExp])[] = [
  ["container", /no such container: (\S+)/i],
  ["image", /no such image: (\S+)/i],
  ["image", /pull access denied for ([^\s,]+), repository does not exist/],
  ["image", /manifest for (\S+) not found/],
  ["image", /^Get "https?:\/\/[^/]+\/v2\/(?:library\/)?(\S+)\/manifests\//],
  ["volume", /get (\S+): no such volume/],
  ["network", /network (\S+) not found/],
  ["context", /context "([^"\s]+)": context not found/],
  ["object", /no such object: (\S+)/i],
];

/**
 * What a person may have meant, or can do about a failure. For something that there is not the daemon is asked for what there
 * is; without one, or where nothing is near, the failure's own words decide.
 */
export async function whatHelps(client: ApiClient | undefined, error: unknown): Promise<string> {
  if (!isTerminal(2) || !(error instanceof Error)) return "";
  const meant = client === undefined ? "" : await meantObject(client, error);
  return meant || (await import("./advice.ts")).adviceFor(error.message);
}

async function meantObject(client: ApiClient, error: Error): Promise<string> {
  for (const [kind, pattern] of MISSING) {
    const word = pattern.exec(error.message)?.[1];
    if (word === undefined) continue;
    // The first error is the one to tell of.
    return hint(word, await namesOf(client, kind).catch(() => []));
  }
  return "";
}

/** Names that there are of a kind. */
async function namesOf(client: ApiClient, kind: Kind): Promise<string[]> {
  switch (kind) {
    case "container": {
      const query = { all: true };
      const all = await client.json<{ Names: string[] }[]>("GET", "/containers/json", { query });
      return all.flatMap(({ Names }) => Names.map((name) => name.replace(/^\//, "")));
    }
    case "image": {
      const all = await client.json<{ RepoTags: string[] | null }[]>("GET", "/images/json");
      const tags = all.flatMap(({ RepoTags }) => RepoTags ?? []);
      return [...tags, ...tags.map((tag) => tag.replace(/:[^/:]*$/, ""))];
    }
    case "volume": {
      const { Volumes } = await client.json<{ Volumes: { Name: string }[] | null }>(
        "GET",
        "/volumes",
      );
      return (Volumes ?? []).map(({ Name }) => Name);
    }
    case "network":
      return (await client.json<{ Name: string }[]>("GET", "/networks")).map(({ Name }) => Name);
    case "context": {
      const { listContexts } = await import("./contexts.ts");
      return ["default", ...listContexts().map(({ Name }) => Name)];
    }
    case "object": {
      const every = ["container", "image", "volume", "network"] as const;
      return (await Promise.all(every.map((one) => namesOf(client, one)))).flat();
    }
  }
}
