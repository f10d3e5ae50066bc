/**
 * From what `iptables-save` tells to what `iptables-restore --noflush` is to do, so that a daemon's rules are as they are to be and
 * everybody else's as they were. Pure.
 */
import type { Family } from "./addresses.ts";
import { type Chains, frame, madeChains, type Table, tableNames } from "./iptables-rules.ts";

/** The rules of every chain that there is, by table. */
export type Saved = ReadonlyMap<string, ReadonlyMap<string, string[]>>;

/** Reads what `iptables-save` says. */
export function parseSaved(text: string): Saved {
  const tables = new Map<string, Map<string, string[]>>();
  let chains = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) {
      chains = new Map();
      tables.set(line.slice(1).trim(), chains);
    } else if (line.startsWith(":")) chains.set(line.slice(1).split(" ")[0] ?? "", []);
    else {
      const [, chain = "", rule = ""] = /^-A (\S+) (.*)$/.exec(line) ?? [];
      chains.get(chain)?.push(rule.trimEnd());
    }
  }
  return tables;
}

function ownComment(mark: string): RegExp {
  const text = RegExp.escape(mark);
  return new RegExp(`--comment ("${text}"|${text})( |$)`);
}

/** Some comments are quoted. */
const bare = (rule: string) => rule.replace(/--comment "([^"]*)"/, "--comment $1");

/** One chain: what is there, whose it is, and what is to be there of the daemon's. */
interface ChainChange {
  readonly chain: string;
  readonly present: readonly string[];
  readonly isOwn: (rule: string) => boolean;
  readonly wanted: readonly string[];
}

/** What makes a daemon's rules of one chain those that are wanted, in their order, before everybody else's. */
function chainChanges({ chain, present, isOwn, wanted }: ChainChange): string[] {
  const left = new Map<string, number>();
  wanted.forEach((rule, at) => {
    left.set(rule, at);
  });
  const kept = new Set<number>();
  const rules: string[] = [];
  const lines: string[] = [];
  let last = -1;
  for (const rule of present) {
    const at = left.get(bare(rule)) ?? -1;
    if (isOwn(rule) && at <= last) lines.push(`-D ${chain} ${rule}`);
    else rules.push(bare(rule));
    if (isOwn(rule) && at > last) {
      kept.add(at);
      last = at;
    }
  }
  let before = 0;
  wanted.forEach((rule, at) => {
    if (kept.has(at)) before = rules.indexOf(rule) + 1;
    else {
      before++;
      rules.splice(before - 1, 0, rule);
      lines.push(`-I ${chain} ${before} ${rule}`);
    }
  });
  return lines;
}

/** One table's change. */
interface TableChange {
  readonly table: Table;
  readonly present: ReadonlyMap<string, readonly string[]>;
  readonly wanted: Chains;
  readonly isOwn: (chain: string, rule: string) => boolean;
}

function tableChanges({ table, present, wanted, isOwn }: TableChange): string[] {
  const missing = madeChains[table].filter((chain) => !present.has(chain));
  const chains = new Set([...present.keys(), ...wanted.keys()]);
  return [
    ...missing.map((chain) => `-N ${chain}`),
    ...[...chains].flatMap((chain) =>
      chainChanges({
        chain,
        present: present.get(chain) ?? [],
        isOwn: (rule) => isOwn(chain, rule),
        wanted: wanted.get(chain) ?? [],
      }),
    ),
  ];
}

function script(lines: (table: Table) => readonly string[]): string {
  return tableNames
    .map((table) => [table, lines(table)] as const)
    .filter(([, list]) => list.length > 0)
    .map(([table, list]) => [`*${table}`, ...list, "COMMIT", ""].join("\n"))
    .join("");
}

/** What `iptables-restore --noflush` is to read; empty: everything is as it is to be. `mark`: whose rules they are. */
export function changes(
  saved: Saved,
  wanted: ReadonlyMap<Table, Chains>,
  family: Family,
  mark: string,
): string {
  const comment = ownComment(mark);
  return script((table) => {
    const shared = frame(table, family);
    return tableChanges({
      table,
      present: saved.get(table) ?? new Map(),
      wanted: wanted.get(table) ?? new Map(),
      isOwn: (chain, rule) => comment.test(rule) || shared.get(chain)?.includes(rule) === true,
    });
  });
}

/**
 * What takes a daemon's rules away, and the chains with what leads to them, unless others have something there. DOCKER-USER stays,
 * with what leads to it, as long as it has rules: those are the administrator's.
 */
export function removal(saved: Saved, family: Family, mark: string): string {
  const comment = ownComment(mark);
  return script((table) => {
    const chains = saved.get(table) ?? new Map<string, string[]>();
    const shared = frame(table, family);
    const isShared = (chain: string, rule: string) => shared.get(chain)?.includes(rule) === true;
    const made = madeChains[table].filter((chain) => chains.has(chain));
    const own: string[] = [];
    const others = new Map<string, string[]>();
    for (const [chain, rules] of chains) {
      const [mine, rest] = split(rules, (rule) => comment.test(rule));
      own.push(...mine.map((rule) => `-D ${chain} ${rule}`));
      others.set(
        chain,
        rest.filter((rule) => !isShared(chain, rule)),
      );
    }
    const isUsed = (chain: string) =>
      (others.get(chain) ?? []).length > 0 ||
      [...others.values()].flat().some((rule) => rule.endsWith(`-j ${chain}`));
    const groups = table === "filter" ? [["DOCKER-USER"], made.filter(notForUsers)] : [made];
    const gone = groups.filter((group) => !group.some(isUsed)).flat();
    const leads = [...chains].flatMap(([chain, rules]) =>
      rules
        .filter((rule) => isShared(chain, rule) && gone.some((one) => rule.endsWith(`-j ${one}`)))
        .map((rule) => `-D ${chain} ${rule}`),
    );
    return [
      ...own,
      ...leads,
      ...gone.filter((chain) => chains.has(chain)).map((chain) => `-X ${chain}`),
    ];
  });
}

const notForUsers = (chain: string) => chain !== "DOCKER-USER";

function split<T>(list: readonly T[], is: (one: T) => boolean): [T[], T[]] {
  return [list.filter(is), list.filter((one) => !is(one))];
}
