/**
 * --firewall-policy: with `host` the host's own rules (as ufw writes them, or of any nftables table) hold for published ports, with
 * `docker` they do not. Both backends of the firewall are tried; the rules are for what comes from one other machine alone.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { daemonOfFile, type TestDaemon } from "../kits/daemon.ts";
import { echoDatagrams } from "../kits/datagrams.ts";
import { host } from "../kits/lan.ts";
import { HOST, HOST6, MACHINE, Outside } from "../kits/outside.ts";

const PORT = 18095;
const OTHER = 18096;

async function done(daemon: TestDaemon, ...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

/** A web server that a port leads to. */
async function serve(daemon: TestDaemon, ...flags: string[]): Promise<void> {
  const script = "mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w";
  await done(daemon, "run", "-d", "--name", "web", ...flags, "busybox", "sh", "-c", script);
  await done(daemon, "exec", "web", "sh", "-c", "until netstat -ltn | grep -q :80; do :; done");
}

/** ufw's chains as `ufw enable` makes them, for what comes by one interface: closed, but for what is allowed in ufw-user-input. */
function ufw(way: string): void {
  const chains = ["ufw-before-input", "ufw-user-input", "ufw-after-input"];
  const script = [
    "*filter",
    ...chains.map((chain) => `-N ${chain}`),
    ...chains.map((chain) => `-A INPUT -i ${way} -j ${chain}`),
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT",
    "-A ufw-before-input -m addrtype --dst-type LOCAL -j RETURN",
    "-A ufw-after-input -j DROP",
    "COMMIT\n",
  ].join("\n");
  const child = Bun.spawnSync(["iptables-restore", "--noflush"], { stdin: Buffer.from(script) });
  expect(`${child.exitCode} ${child.stderr}`).toBe("0 ");
}

function withoutUfw(way: string): void {
  const chains = ["ufw-before-input", "ufw-user-input", "ufw-after-input"];
  for (const chain of chains) {
    host("iptables", "-D", "INPUT", "-i", way, "-j", chain);
    host("iptables", "-F", chain);
    host("iptables", "-X", chain);
  }
}

const own = () =>
  host("iptables-save", "-t", "filter")
    .split("\n")
    .filter((line) => /INPUT|ufw/.test(line) && line.startsWith("-A"));

for (const backend of ["nftables", "iptables"])
  describe(backend, () => {
    const daemon = daemonOfFile([`--firewall-backend=${backend}`, "--firewall-policy=host"]);
    let outside: Outside;
    beforeAll(async () => {
      outside = await Outside.start(daemon, `far-${backend.slice(0, 3)}`);
    });
    afterAll(() => outside.remove());
    afterEach(async () => {
      withoutUfw(outside.interface);
      host("nft", "delete", "table", "inet", "theirs");
      await daemon.berth("rm", "-f", "web", "asks");
    });

    test("ufw's rules close a published port and open it; they stay as they are", async () => {
      ufw(outside.interface);
      const before = own();
      await serve(daemon, "-p", `${PORT}:80`);
      expect(outside.getInVain(HOST, PORT)).toBe("");
      expect(host("curl", "-s", "-m", "20", `http://127.0.0.1:${PORT}/`).trim()).toBe("served");
      const allow = ["ufw-user-input", "-p", "tcp", "--dport", String(PORT), "-j", "ACCEPT"];
      host("iptables", "-A", ...allow);
      expect(outside.get(HOST, PORT)).toBe("served");
      host("iptables", "-D", ...allow);
      expect(outside.getInVain(HOST, PORT)).toBe("");
      expect(own()).toEqual(before);
      await daemon.stop();
      await daemon.start("--firewall-policy=docker");
      expect(outside.get(HOST, PORT)).toBe("served");
      await daemon.stop();
      await daemon.start();
      expect(outside.getInVain(HOST, PORT)).toBe("");
      expect(own()).toEqual(before);
    });

    test("a table of nftables' closes a port as well; the client's own address is kept", async () => {
      const ask = `nc -l -p 80 -e sh -c 'netstat -tn | grep :80'`;
      await done(
        ...([daemon, "run", "-d", "--name", "asks", "-p", `${HOST}:${PORT}:80`] as const),
        ...["busybox", "sh", "-c", `while :; do ${ask}; done`],
      );
      await done(
        daemon,
        "exec",
        "asks",
        "sh",
        "-c",
        "until netstat -ltn | grep -q :80; do :; done",
      );
      const peer = () => outside.run("busybox", "nc", "-w", "3", HOST, String(PORT));
      expect(peer()).toContain(`${MACHINE}:`);
      host("nft", "add", "table", "inet", "theirs");
      const chain = "{ type filter hook input priority 10; policy accept; }";
      host("nft", "add", "chain", "inet", "theirs", "in", chain);
      host("nft", "add", "rule", "inet", "theirs", "in", "tcp", "dport", String(PORT), "drop");
      expect(peer()).not.toContain(MACHINE);
      host("nft", "delete", "table", "inet", "theirs");
      expect(peer()).toContain(`${MACHINE}:`);
    });

    test("datagrams and IPv6 are judged as well, each by its own rules", async () => {
      await done(daemon, "network", "create", "--ipv6", "six");
      const ports = [
        "-p",
        `${PORT}:80`,
        "-p",
        `${HOST}:${PORT}:80/udp`,
        "-p",
        `[${HOST6}]:${OTHER}:80`,
      ];
      await serve(daemon, "--network", "six", ...ports);
      const echo = await echoDatagrams(await daemon.inspect("web", "{{.State.Pid}}"), 80);
      try {
        const program = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect(("${HOST}", ${PORT})); s.send(b"asked")
try: print(s.recv(9).decode())
except OSError: pass`;
        const datagram = () => outside.run("python3", "-c", program);
        const answers = () => ({
          udp: datagram().trim(),
          tcp: outside.getInVain(HOST, PORT),
          any6: outside.getInVain(HOST6, PORT),
          bound6: outside.getInVain(HOST6, OTHER),
        });
        const all = { udp: "asked", tcp: "served", any6: "served", bound6: "served" };
        for (const [at, port] of [
          [HOST, PORT],
          [HOST6, PORT],
          [HOST6, OTHER],
        ] as const)
          expect(outside.get(at, port)).toBe("served");
        expect(answers()).toEqual(all);
        host("nft", "add", "table", "inet", "theirs");
        const chain = "{ type filter hook input priority 10; policy accept; }";
        host("nft", "add", "chain", "inet", "theirs", "in", chain);
        const closed = async (rule: string) => {
          host("nft", "add", "rule", "inet", "theirs", "in", ...rule.split(" "), "drop");
          const heard = answers();
          host("nft", "flush", "chain", "inet", "theirs", "in");
          return heard;
        };
        // The flow that is open goes on: each time another number.
        expect(await closed(`udp dport ${PORT}`)).toEqual({ ...all, udp: "" });
        expect(await closed(`ip6 daddr ${HOST6} tcp dport ${OTHER}`)).toEqual({
          ...all,
          bound6: "",
        });
        expect(await closed(`meta nfproto ipv6 tcp dport ${PORT}`)).toEqual({ ...all, any6: "" });
        expect(await closed(`ip protocol tcp tcp dport ${PORT}`)).toEqual({ ...all, tcp: "" });
      } finally {
        echo.kill();
        await echo.exited;
      }
      // What comes and goes changes what is judged, and leaves what was there.
      const listed = () => host("nft", "list", "ruleset").match(/18095|18096/g)?.length;
      const before = listed();
      await done(
        daemon,
        ...["run", "-d", "--name", "asks", "-p", "18097:80", "busybox", "sleep", "100"],
      );
      expect(host("nft", "list", "tables")).toContain("-host");
      expect(
        host("nft", "list", "ruleset")
          .match(/set any \{[^}]*\}/g)
          ?.join(""),
      ).toContain("18097");
      await done(daemon, "rm", "-f", "asks");
      expect(host("nft", "list", "ruleset")).not.toContain("18097");
      expect(listed()).toBe(before);
      await done(daemon, "rm", "-f", "web");
      expect(host("nft", "list", "ruleset")).not.toContain(String(PORT));
      await done(daemon, "network", "rm", "six");
    });

    test("what leads round comes back when others take it away, and outlives the daemon", async () => {
      await serve(daemon, "-p", `${PORT}:80`);
      expect(outside.get(HOST, PORT)).toBe("served");
      host("nft", "flush", "ruleset");
      const deadline = Date.now() + 15_000;
      while (outside.getInVain(HOST, PORT) === "" && Date.now() < deadline);
      expect(outside.get(HOST, PORT)).toBe("served");
      await daemon.kill();
      expect(outside.get(HOST, PORT)).toBe("served");
      await daemon.start();
      expect(outside.get(HOST, PORT)).toBe("served");
    });
  });
