/**
 * Where the host's own FORWARD chain of iptables drops what it does not know (ufw, dockerd, a last rule that rejects): what lets
 * berth's bridges through there, and at which place. Pure.
 */
import type { Saved } from "./iptables-changes.ts";

/** What FORWARD has by itself for what no rule decides, and the rules of all chains beside it. */
export interface ForwardState {
  readonly policy: string;
  /** Of the table filter. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** Reads the table filter of what `iptables-save` says, of which `saved` has the rules. */
export function forwardState(text: string, saved: Saved): ForwardState {
  const policy = /^:FORWARD (\S+)/m.exec(text)?.[1] ?? "ACCEPT";
  return { policy, chains: saved.get("filter") ?? new Map() };
}

const refusals: ReadonlySet<string> = new Set(["DROP", "REJECT"]);
const silent: ReadonlySet<string> = new Set(["RETURN", "LOG", "NFLOG", "ULOG"]);

interface Rule {
  /** Empty: it only counts. */
  readonly target: string;
  readonly forAll: boolean;
}

function parsed(rule: string): Rule {
  const bare = rule.replace(/-m comment --comment ("(\\.|[^"\\])*"|\S+) ?/, "");
  return {
    target: /(?:^| )(?:-j|-g) (\S+)/.exec(bare)?.[1] ?? "",
    forAll: /^-[jg] /.test(bare),
  };
}

/** Whether a target decides what becomes of some packet. */
function decides(target: string, chains: ForwardState["chains"], seen: readonly string[]): boolean {
  const rules = chains.get(target);
  if (rules === undefined) return target !== "" && !silent.has(target);
  return (
    !seen.includes(target) &&
    rules.some((rule) => decides(parsed(rule).target, chains, [...seen, target]))
  );
}

/** Whether nothing that a rule leads to its target gets any further. */
function sweeps(rule: string, chains: ForwardState["chains"], seen: readonly string[]): boolean {
  const { target, forAll } = parsed(rule);
  if (!forAll) return false;
  if (refusals.has(target)) return true;
  const rules = chains.get(target);
  if (rules === undefined || seen.includes(target)) return false;
  const end = rules.findIndex((one) => {
    const { target: verdict, forAll: always } = parsed(one);
    return always && (verdict === "RETURN" || verdict === "ACCEPT");
  });
  const reached = end < 0 ? rules : rules.slice(0, end);
  return reached.some((one) => sweeps(one, chains, [...seen, target]));
}

/**
 * Behind which of FORWARD's rules berth's are to stand, so that what its administrator has decided on holds, and what is dropped
 * because nobody has decided is not; undefined: nothing is. Rules behind that place only write into a log what they take for dropped.
 */
function placeIn(rules: readonly string[], { policy, chains }: ForwardState): number | undefined {
  const sweep = rules.findIndex((rule) => sweeps(rule, chains, []));
  if (sweep < 0 && !refusals.has(policy)) return undefined;
  const before = sweep < 0 ? rules : rules.slice(0, sweep);
  return before.findLastIndex((rule) => decides(parsed(rule).target, chains, [])) + 1;
}

/** Whether FORWARD drops what nobody knows; `chain`: berth's own, which does not count. */
export function isClosed(state: ForwardState, chain: string): boolean {
  return placeIn(others(state, chain), state) !== undefined;
}

function others({ chains }: ForwardState, chain: string): string[] {
  return (chains.get("FORWARD") ?? []).filter((rule) => !leadsTo(chain)(rule));
}

const leadsTo = (chain: string) => (rule: string) => rule === `-j ${chain}`;

/**
 * What `iptables-restore --noflush` is to read so that what goes to bridges and comes from them gets through where FORWARD would drop
 * it, by a chain of berth's own; empty: everything is as it is to be. No bridges, or an open FORWARD: the chain goes.
 */
export function passage(state: ForwardState, chain: string, bridges: readonly string[]): string {
  const present = state.chains.get("FORWARD") ?? [];
  const wanted = bridges.flatMap((name) => [`-i ${name} -j ACCEPT`, `-o ${name} -j ACCEPT`]);
  const place = wanted.length === 0 ? undefined : placeIn(others(state, chain), state);
  const has = state.chains.get(chain);
  const leading = present.filter(leadsTo(chain));
  const removal = leading.map((rule) => `-D FORWARD ${rule}`);
  if (place === undefined) {
    const gone = has === undefined ? [] : [`-F ${chain}`, `-X ${chain}`];
    return script([...removal, ...gone]);
  }
  const isPlaced = leading.length === 1 && present.findIndex(leadsTo(chain)) === place;
  const isWhole = has !== undefined && has.join("\n") === wanted.join("\n");
  return script([
    ...(isWhole ? [] : [`:${chain} - [0:0]`, ...wanted.map((rule) => `-A ${chain} ${rule}`)]),
    ...(isPlaced ? [] : [...removal, `-I FORWARD ${place + 1} -j ${chain}`]),
  ]);
}

function script(lines: readonly string[]): string {
  return lines.length === 0 ? "" : ["*filter", ...lines, "COMMIT", ""].join("\n");
}
