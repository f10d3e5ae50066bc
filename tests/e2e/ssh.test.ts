/** ssh:// against a real sshd: berth's own command line and docker's, and what each error says. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { TestDaemon } from "../kits/daemon.ts";
import { hasSshd, SshHost } from "../kits/ssh-host.ts";

const before = takeCensus();
const onlyWithSshd = test.skipIf(!hasSshd);
const host = hasSshd ? new SshHost() : undefined;
const daemon = new TestDaemon();
const far = () => {
  if (host === undefined) throw new Error("no sshd");
  return { host, url: `${host.url}${daemon.socket}` };
};

beforeAll(async () => {
  if (host === undefined) return;
  for (const name of ["berth", "docker"] as const) host.offer(name);
  await Promise.all([host.start(), daemon.start()]);
});

afterAll(async () => {
  if (host === undefined) return;
  await daemon.destroy();
  await host.destroy();
  expect(await settledLeftover(before)).toEqual([]);
});

/** Both clients reach the same daemon. */
for (const client of ["berth", "docker"] as const)
  onlyWithSshd(`${client} -H ssh://: run, exec -i, ps, cp and exit codes`, async () => {
    const { host, url } = far();
    const call = (...args: string[]) => host[client]("-H", url, ...args);
    const name = `by-${client}`;
    const started = await call("run", "-d", "--name", name, "busybox", "sleep", "1000");
    expect([started.err, started.status]).toEqual(["", 0]);
    expect((await call("ps", "--format", "{{.Names}}")).out).toContain(`${name}\n`);
    expect(await daemon.inspect(name, "{{.State.Running}}")).toBe("true");
    const large = "line of input\n".repeat(100_000);
    const piped = await host.given(large, client, "-H", url, "exec", "-i", name, "cat");
    expect([piped.err, piped.status, piped.out === large]).toEqual(["", 0, true]);
    const failed = await call(
      "run",
      "--rm",
      "busybox",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 7",
    );
    expect(failed).toEqual({ status: 7, out: "out\n", err: "err\n" });
    expect((await call("rm", "-f", name)).out).toBe(`${name}\n`);
  });

for (const client of ["berth", "docker"] as const)
  onlyWithSshd(
    `${client} -H ssh://: logs -f follows, and leaves nothing behind when it is ended`,
    async () => {
      const { host, url } = far();
      await daemon.berth(
        ...["run", "-d", "--name", "talks", "busybox", "sh", "-c"],
        "echo first; while [ ! -e /go ]; do sleep 0.05; done; echo second; sleep 1000",
      );
      const path = client === "berth" ? `${import.meta.dir}/../../dist/berth` : "docker";
      const child = Bun.spawn([path, "-H", url, "logs", "-f", "talks"], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: host.env,
      });
      let shown = "";
      const decoder = new TextDecoder();
      for await (const bytes of child.stdout) {
        shown += decoder.decode(bytes);
        if (shown === "first\n") await daemon.berth("exec", "talks", "touch", "/go");
        if (shown.includes("second")) break;
      }
      expect(shown).toBe("first\nsecond\n");
      child.kill("SIGTERM");
      await child.exited;
      const dialling = async () =>
        (await host.there("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).out;
      while ((await dialling()).includes("dial-stdio")) await Bun.sleep(20);
      await daemon.berth("rm", "-f", "talks");
    },
  );

onlyWithSshd("a context that either client has made is used by both", async () => {
  const { host, url } = far();
  for (const [maker, user] of [
    ["berth", "docker"],
    ["docker", "berth"],
  ] as const) {
    const name = `made-by-${maker}`;
    expect((await host[maker]("context", "create", name, "--docker", `host=${url}`)).status).toBe(
      0,
    );
    const asked = await host[user]("--context", name, "version", "--format", "{{.Server.Os}}");
    expect([asked.out, asked.err]).toEqual(["linux\n", ""]);
    await host[maker]("context", "use", name);
    expect((await host[user]("info", "--format", "{{.ServerVersion}}")).status).toBe(0);
    await host[maker]("context", "use", "default");
  }
});

onlyWithSshd("without a socket in the address, a daemon is started there on demand", async () => {
  const { host } = far();
  const ran = await host.berth("-H", host.url, "run", "--rm", "busybox", "echo", "on demand");
  expect([ran.out, ran.status]).toEqual(["on demand\n", 0]);
  expect((await host.docker("-H", host.url, "run", "--rm", "busybox", "echo", "too")).out).toBe(
    "too\n",
  );
  expect((await host.there("ls /run/berth/berth.sock")).status).toBe(0);
  await host.stopDaemon();
});

/** What is wrong, and what the error says of it and of what to do. */
const troubles: readonly [
  what: string,
  make: (host: SshHost) => void,
  unmake: (host: SshHost) => void,
  says: readonly string[],
][] = [
  [
    "a host whose key is not known",
    (host) => host.trust(undefined),
    (host) => host.trust("host"),
    ["Host key verification failed", "ssh-keyscan -p"],
  ],
  [
    "a host that has another key than before",
    (host) => host.trust("otherhost"),
    (host) => host.trust("host"),
    ["is not the one that was known", "ssh-keygen -R"],
  ],
  [
    "a key that is refused",
    (host) => host.useKey(host.strangersKey),
    (host) => host.useKey(host.key),
    ["Permission denied (publickey)", "ssh-copy-id -p"],
  ],
  [
    "a host without berth",
    (host) => host.withdraw("berth"),
    (host) => host.offer("berth"),
    [
      "berth is not in the PATH of root@127.0.0.1 there",
      "berth machine create --generic-ip-address 127.0.0.1",
    ],
  ],
];

for (const [what, make, unmake, says] of troubles)
  onlyWithSshd(`${what}: said, with what to do next`, async () => {
    const { host, url } = far();
    make(host);
    try {
      const { status, out, err } = await host.berth("-H", url, "ps");
      expect([status, out]).toEqual([1, ""]);
      for (const words of says) expect(err).toContain(words);
      expect(err).toContain("command [ssh -o ConnectTimeout=30 -T -l root");
    } finally {
      unmake(host);
    }
    expect((await host.berth("-H", url, "ps", "-q")).status).toBe(0);
  });

onlyWithSshd(
  "nobody listens, no such name, no daemon at the socket: said, with what to do next",
  async () => {
    const { host } = far();
    const refused = await host.berth("-H", "ssh://root@127.0.0.1:1", "ps");
    expect([refused.status, refused.err]).toEqual([
      1,
      expect.stringContaining("Connection refused"),
    ]);
    expect(refused.err).toContain("start sshd on 127.0.0.1");
    const nameless = await host.berth("-H", "ssh://no-such-host.invalid", "ps");
    expect([nameless.status, nameless.err]).toEqual([
      1,
      expect.stringContaining("There is no such host as no-such-host.invalid"),
    ]);
    const nobody = await host.berth("-H", `${host.url}/nowhere.sock`, "ps");
    expect([nobody.status, nobody.err]).toEqual([
      1,
      expect.stringContaining("Cannot connect to the berth daemon at unix:///nowhere.sock"),
    ]);
  },
);
