import { expect, test } from "bun:test";
import type { NetworkRules } from "./firewall.ts";
import type { FirewallContents } from "./firewall-backend.ts";
import { changes, parseSaved, removal } from "./iptables-changes.ts";
import { rulesFor } from "./iptables-rules.ts";

const network: NetworkRules = {
  ...{ bridge: "br-0", subnet: "10.1.0.0/24", internal: false, icc: true, masquerade: true },
  mode4: "nat",
  mode6: "nat",
  trusted: [],
};
const port = (hostPort: number, hostAddress = "0.0.0.0") =>
  ({ protocol: "tcp", containerPort: 80, hostAddress, hostPort, address: "10.1.0.2" }) as const;
const contents = (more: Partial<FirewallContents> = {}): FirewallContents => ({
  networks: [network],
  ports: [],
  opened: [],
  ...more,
});

const script = (saved: string, wanted: FirewallContents) =>
  changes(parseSaved(saved), rulesFor(wanted, 4, "berth0"), 4, "berth0");

const kernels = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  nat: ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
  raw: ["PREROUTING", "OUTPUT"],
};

/** Carries a script out on what `iptables-save` said, as `iptables-restore --noflush` does; gives what it would say then. */
function carriedOut(saved: string, lines: string): string {
  const tables = new Map(
    Object.entries(kernels).map(([table, chains]) => [
      table,
      new Map(chains.map((chain) => [chain, [] as string[]])),
    ]),
  );
  for (const [table, chains] of parseSaved(saved))
    for (const [chain, rules] of chains) tables.get(table)?.set(chain, rules);
  let table = new Map<string, string[]>();
  for (const line of lines.split("\n")) {
    const [, how = "", chain = "", rest = ""] = /^-(\w) (\S+) ?(.*)$/.exec(line) ?? [];
    const rules = table.get(chain) ?? [];
    if (line.startsWith("*")) table = tables.get(line.slice(1)) ?? new Map();
    else if (how === "N") table.set(chain, []);
    else if (how === "X") {
      if (rules.length > 0) throw new Error(`${chain} is not empty`);
      table.delete(chain);
    } else if (how === "D") {
      const at = rules.indexOf(rest);
      if (at < 0) throw new Error(`no rule ${rest} in ${chain}`);
      rules.splice(at, 1);
    } else if (how === "I") {
      const [, number = "", rule = ""] = /^(\d+) (.*)$/.exec(rest) ?? [];
      if (Number(number) > rules.length + 1) throw new Error(`${chain} is not that long`);
      rules.splice(Number(number) - 1, 0, rule);
    }
  }
  return [...tables]
    .map(([name, chains]) =>
      [
        `*${name}`,
        ...[...chains.keys()].map((chain) => `:${chain} - [0:0]`),
        ...[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
        "COMMIT",
      ].join("\n"),
    )
    .join("\n");
}

test("what is as it is to be is left alone, and changes lead from anything to anything", () => {
  const several = [
    contents(),
    contents({ ports: [port(8080), port(8081), port(8082, "127.0.0.1")] }),
    contents({ networks: [network, { ...network, bridge: "br-1", internal: true }] }),
    contents({ networks: [], ports: [] }),
  ];
  for (const first of several)
    for (const second of several) {
      const one = carriedOut("", script("", first));
      expect(script(one, first)).toBe("");
      const two = carriedOut(one, script(one, second));
      expect(script(two, second)).toBe("");
      const none = carriedOut(two, removal(parseSaved(two), 4, "berth0"));
      expect(none).toBe(carriedOut("", ""));
    }
});

test("two ports that lead to one port of a container need one rule behind the host", () => {
  const made = carriedOut("", script("", contents({ ports: [port(8080), port(8081)] })));
  expect(made.match(/--dport 80 -j ACCEPT/g)).toHaveLength(1);
  expect(made.match(/-j DNAT/g)).toHaveLength(2);
});

test("rules of others stay where they are, with the chains that they are in", () => {
  const own = carriedOut("", script("", contents({ ports: [port(8080)] })));
  const foreign = [
    "-A FORWARD -p tcp -j LOG",
    "-A DOCKER-USER -s 10.9.0.0/16 -j DROP",
    '-A DOCKER -i br-9 -m comment --comment "berth0 is not mine" -j RETURN',
    "-A DOCKER -i br-8 -m comment --comment berth01 -j RETURN",
  ];
  const saved = own.replace(/(\*filter\n(?:.*\n)*?)(COMMIT)/, `$1${foreign.join("\n")}\n$2`);
  const flushed = saved.replaceAll(/^-A .*--comment berth0 .*\n/gm, "");
  for (const state of [saved, flushed]) {
    const after = carriedOut(state, script(state, contents()));
    for (const rule of foreign) expect(after).toContain(rule);
    expect(after.indexOf("-A FORWARD -j DOCKER-USER")).toBeLessThan(after.indexOf("-j LOG"));
    const gone = carriedOut(after, removal(parseSaved(after), 4, "berth0"));
    for (const rule of foreign) expect(gone).toContain(rule);
    expect(gone).toContain("-A FORWARD -j DOCKER-USER");
    expect(gone).not.toMatch(/--comment berth0 /);
  }
});
