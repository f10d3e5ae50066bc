/**
 * docs/api-coverage.md: what the run has proved of the contract, what it has not and why, and where the two contradict.
 */
import type { Ledger } from "./caller.ts";
import type { Contract, Operation } from "./contract.ts";

/** Why items are not proved. */
export interface Reason {
  /** Operations, by id. */
  readonly operations: RegExp;
  /** Items of theirs, in full ("query all"), or with all that is below ("body HostConfig.Isolation"). Without it: all that is not proved. */
  readonly items?: readonly (string | RegExp)[];
  readonly why: string;
  /** It depends on the host (the version of cgroups, its devices) whether the items occur: both are right. */
  readonly host?: true;
}

/** What the report says, and what is wrong with it. */
export interface Coverage {
  readonly text: string;
  readonly problems: readonly string[];
}

/** Whether a name means an item: the item itself or what is above it, or a pattern that it has. */
const means = (name: string | RegExp, item: string) =>
  typeof name === "string"
    ? item === name || (item.startsWith(name) && /[.[{]/.test(item.charAt(name.length)))
    : name.test(item);

interface Account {
  readonly operation: Operation;
  readonly proved: readonly string[];
  readonly host: ReadonlyMap<string, string>;
  readonly missing: ReadonlyMap<string, string>;
  readonly beyond: readonly string[];
}

function reasonFor(item: string, reasons: readonly Reason[]): Reason | undefined {
  const named = reasons.find(({ items }) => items?.some((name) => means(name, item)));
  return named ?? reasons.find(({ items }) => items === undefined);
}

function accountOf(
  contract: Contract,
  ledger: Ledger,
  operation: Operation,
  all: readonly Reason[],
  problems: string[],
): Account {
  const { id } = operation;
  const reasons = all.filter(({ operations }) => operations.test(id));
  const proofs = ledger.proved(id);
  const items = contract.itemsOf(operation).filter((item) => !/^(status )?500\b/.test(item));
  const account = {
    operation,
    proved: [] as string[],
    host: new Map<string, string>(),
    missing: new Map<string, string>(),
    beyond: [...ledger.foundBeyond(id)].sort(),
  };
  for (const item of items) {
    const reason = reasonFor(item, reasons);
    if (reason?.host) account.host.set(item, reason.why);
    else if (proofs.has(item)) account.proved.push(item);
    else if (reason !== undefined) account.missing.set(item, reason.why);
    else problems.push(`${id}: ${item} is neither proved nor has a reason`);
    if (proofs.has(item) && reason?.items && !reason.host)
      problems.push(`${id}: ${item} is proved, and yet has a reason: ${reason.why}`);
  }
  const whole = reasons.find((reason) => reason.items === undefined);
  if (whole !== undefined && account.proved.some((item) => /^status [123]/.test(item)))
    problems.push(`${id} works, and yet has a reason: ${whole.why}`);
  return account;
}

/** Fields of one object are told together: "State.{Status, Pid}". */
function fold(names: readonly string[]): string {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const dot = name.lastIndexOf(".");
    const [head, last] = dot < 0 ? ["", name] : [name.slice(0, dot), name.slice(dot + 1)];
    const group = groups.get(head);
    if (group === undefined) groups.set(head, [last]);
    else group.push(last);
  }
  return [...groups]
    .map(([head, lasts]) => {
      if (head === "") return lasts.map((last) => `\`${last}\``).join(", ");
      return lasts.length === 1 ? `\`${head}.${lasts[0]}\`` : `\`${head}.{${lasts.join(", ")}}\``;
    })
    .join(", ");
}

const kinds: readonly [name: string, pattern: RegExp][] = [
  ["status", /^status (.*)/],
  ["path", /^path (.*)/],
  ["query", /^query (.*)/],
  ["header", /^header (.*)/],
  ["body", /^body ?(.*)/],
  ["response header", /^\d+ header (.*)/],
  ["response", /^\d+ ?(?!header )(.*)/],
];

function byKind(items: readonly string[]): [kind: string, names: string[]][] {
  return kinds.flatMap(([kind, pattern]) => {
    const names = items.flatMap((item) => {
      const name = pattern.exec(item)?.[1];
      return name === undefined ? [] : [name === "" ? "(as a whole)" : name];
    });
    return names.length === 0 ? [] : [[kind, [...new Set(names)]]];
  });
}

function told(items: ReadonlyMap<string, string>, word: string): string[] {
  const reasons = new Map<string, string[]>();
  for (const [item, why] of items) reasons.set(why, [...(reasons.get(why) ?? []), item]);
  return [...reasons].flatMap(([why, list]) =>
    byKind(list).map(([kind, names]) => `* ${word}: ${kind} ${fold(names)} (${why})`),
  );
}

function section({ operation, proved, host, missing, beyond }: Account): string[] {
  const { id, method, path } = operation;
  return [
    `### ${method} ${path}`,
    "",
    `${id}`,
    "",
    ...byKind(proved).map(([kind, names]) => `* ${kind}: ${fold(names)}`),
    ...told(host, "depends on the host"),
    ...told(missing, "**not**"),
    ...byKind(beyond).map(([kind, names]) => `* beyond the contract: ${kind} ${fold(names)}`),
    "",
  ];
}

function sum(accounts: readonly Account[], pattern: RegExp): string {
  const count = (items: Iterable<string>) => [...items].filter((i) => pattern.test(i)).length;
  let [done, all] = [0, 0];
  for (const { proved, host, missing } of accounts) {
    const held = count(proved) + count(host.keys());
    done += held;
    all += held + count(missing.keys());
  }
  return `${done} of ${all}`;
}

function row(name: string, accounts: readonly Account[]): string {
  const answered = accounts.filter(({ proved }) => proved.some((item) => /^status/.test(item)));
  const whole = accounts.filter(({ proved }) => proved.some((item) => /^status [123]/.test(item)));
  const cells = [
    name,
    `${accounts.length}`,
    `${whole.length}`,
    `${answered.length - whole.length}`,
    sum(accounts, /^status/),
    sum(accounts, /^(path|query|header|body)/),
    sum(accounts, /^\d/),
  ];
  return `| ${cells.join(" | ")} |`;
}

const head = `# What berth does of Docker's API

Generated by \`BERTH_API_COVERAGE=write bun test tests/e2e/contract.test.ts\`; do not edit. The test walks Docker's description of the API
(v1.51), calls a real daemon, and fails when this page says anything else than what it has seen.

* A **status** is listed when an answer with it came and had the form that the description gives it. An error's is
  \`{"message": …}\`. 500 is what no request provokes: a client's mistake is 4xx.
* A **parameter** (path, query, header, a field of the body) is listed when a request sent it and its effect was seen.
* A **response**'s field is listed when it occurred, not null, in an answer that the description's schema holds for. \`[]\` is an item of
  a list, \`{}\` a value of a map: an empty list proves nothing of its items.
* **not** is what has not been seen, each with its reason.
* *Beyond the contract* is what dockerd or berth answers and the description does not have.
`;

/** The page and its contradictions. `own`: what is known to be beyond the contract. */
export function coverageOf(
  contract: Contract,
  ledger: Ledger,
  reasons: readonly Reason[],
  own: readonly Reason[],
): Coverage {
  const problems: string[] = [];
  const accounts = [...contract.operations.values()].map((operation) =>
    accountOf(contract, ledger, operation, reasons, problems),
  );
  for (const { operations, items: named, why } of reasons)
    for (const name of named ?? [])
      if (
        !accounts.some(
          ({ operation }) =>
            operations.test(operation.id) &&
            contract.itemsOf(operation).some((item) => means(name, item)),
        )
      )
        problems.push(`nothing is ${name}, for which there is a reason: ${why}`);
  for (const { operation, beyond } of accounts)
    for (const item of beyond)
      if (
        !own.some(
          ({ operations, items }) =>
            operations.test(operation.id) && items?.some((name) => means(name, item)),
        )
      )
        problems.push(`${operation.id}: ${item} is not of the contract`);
  for (const { operations, items, why } of own)
    for (const item of items ?? [])
      if (
        !accounts.some(
          (a) => operations.test(a.operation.id) && a.beyond.some((found) => means(item, found)),
        )
      )
        problems.push(`${item} (${why}) does not occur`);
  const tags = [...new Set(accounts.map(({ operation }) => operation.tag))];
  const text = [
    head,
    "| area | operations | work | only refuse | statuses | parameters | response fields |",
    "|---|---|---|---|---|---|---|",
    ...tags.map((tag) =>
      row(
        tag,
        accounts.filter(({ operation }) => operation.tag === tag),
      ),
    ),
    row("**all**", accounts),
    "",
    ...tags.flatMap((tag) => [
      `## ${tag}`,
      "",
      ...accounts.filter(({ operation }) => operation.tag === tag).flatMap(section),
    ]),
  ].join("\n");
  return { text: `${text.trimEnd()}\n`, problems };
}
