import { expect, test } from "bun:test";
import { parseSaved } from "./iptables-changes.ts";
import { forwardState, isClosed, passage } from "./passage-rules.ts";

/** What `iptables-save` says of FORWARD with rules, beside chains of their own. */
function saved(policy: string, forward: readonly string[], chains: Record<string, string[]> = {}) {
  const text = [
    "*filter",
    `:FORWARD ${policy} [0:0]`,
    ...Object.keys(chains).map((chain) => `:${chain} - [0:0]`),
    ...forward.map((rule) => `-A FORWARD ${rule}`),
    ...Object.entries(chains).flatMap(([chain, rules]) =>
      rules.map((rule) => `-A ${chain} ${rule}`),
    ),
    "COMMIT\n",
  ].join("\n");
  return forwardState(text, parseSaved(text));
}

/** As `ufw enable` makes them; the last of them rejects with `ufw default reject routed`. */
const ufw = (reject: string[] = []) =>
  saved(
    "DROP",
    ["before-logging", "before", "after", "after-logging", "reject", "track"].map(
      (name) => `-j ufw-${name}-forward`,
    ),
    {
      "ufw-before-logging-forward": [],
      "ufw-before-forward": [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-j ufw-user-forward",
      ],
      "ufw-after-forward": [],
      "ufw-after-logging-forward": ['-m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "'],
      "ufw-reject-forward": reject,
      "ufw-track-forward": [],
      "ufw-user-forward": ["-p tcp -m tcp --dport 8080 -j DROP"],
    },
  );

/** Where the way through is put, or nothing if FORWARD is open. */
function place(state: ReturnType<typeof saved>): number | undefined {
  const script = passage(state, "BERTH-b", ["b"]);
  const [, at] = /^-I FORWARD (\d+) -j BERTH-b$/m.exec(script) ?? [];
  expect(isClosed(state, "BERTH-b")).toBe(at !== undefined);
  return at === undefined ? undefined : Number(at);
}

test("an open FORWARD needs no way through it, whatever it drops of what it knows", () => {
  expect(place(saved("ACCEPT", []))).toBeUndefined();
  expect(place(saved("ACCEPT", ["-p tcp -m tcp --dport 7 -j DROP", "-j A"], { A: [] }))).toBe(
    undefined,
  );
  const allowed = { A: ["-i eth0 -j RETURN", "-j RETURN", "-j DROP"], B: ["-j ACCEPT", "-j DROP"] };
  expect(place(saved("ACCEPT", ["-j A", "-j B"], allowed))).toBeUndefined();
});

test("the way through is behind what the administrator has decided on, before what drops the rest and what logs it", () => {
  expect(place(ufw())).toBe(3);
  expect(place(ufw(["-j REJECT --reject-with icmp-port-unreachable"]))).toBe(3);
  expect(place(saved("DROP", []))).toBe(1);
  const own = ["-p tcp -m tcp --dport 7 -j DROP", "-j REJECT --reject-with icmp-host-prohibited"];
  expect(place(saved("ACCEPT", own))).toBe(2);
  const noted = ["-i a -j ACCEPT", '-m comment --comment "all -j ACCEPT that is" -j DROP'];
  expect(place(saved("ACCEPT", noted))).toBe(2);
  const docker = ["-j DOCKER-USER", "-o docker0 -j DOCKER", "-i docker0 ! -o docker0 -j ACCEPT"];
  expect(place(saved("DROP", docker, { "DOCKER-USER": ["-j RETURN"], DOCKER: [] }))).toBe(4);
  // Chains that lead to each other are refused by the kernel; whoever reads them must come to an end nevertheless.
  expect(place(saved("DROP", ["-j A"], { A: ["-j B"], B: ["-j A"] }))).toBe(1);
});

test("what is as it is to be is left; what is not is mended; an open FORWARD and no bridges leave nothing", () => {
  const chain = ["-i b -j ACCEPT", "-o b -j ACCEPT"];
  const whole = (at: string[], own = chain, policy = "DROP") =>
    saved(policy, at, { "BERTH-b": own });
  const own = "-j BERTH-b";
  const decided = "-i x -j DROP";
  expect(passage(whole([decided, own]), "BERTH-b", ["b"])).toBe("");
  const misplaced = passage(whole([own, decided]), "BERTH-b", ["b"]);
  expect(misplaced).toBe(`*filter\n-D FORWARD ${own}\n-I FORWARD 2 ${own}\nCOMMIT\n`);
  const twice = passage(whole([decided, own, own]), "BERTH-b", ["b"]);
  expect(twice).toBe(
    `*filter\n-D FORWARD ${own}\n-D FORWARD ${own}\n-I FORWARD 2 ${own}\nCOMMIT\n`,
  );
  const more = passage(whole([decided, own]), "BERTH-b", ["b", "c"]);
  expect(more).toContain(":BERTH-b - [0:0]\n-A BERTH-b -i b -j ACCEPT\n");
  expect(more).toContain("-A BERTH-b -o c -j ACCEPT\nCOMMIT");
  const gone = `*filter\n-D FORWARD ${own}\n-F BERTH-b\n-X BERTH-b\nCOMMIT\n`;
  expect(passage(whole([own], chain, "ACCEPT"), "BERTH-b", ["b"])).toBe(gone);
  expect(passage(whole([own]), "BERTH-b", [])).toBe(gone);
  expect(passage(saved("ACCEPT", []), "BERTH-b", ["b"])).toBe("");
});
