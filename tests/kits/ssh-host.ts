/**
 * Another host, as far as one can be had on this one: a real sshd on loopback whose sessions have their own /etc, /run,
 * /root, /usr and /var/lib/berth (which are forgotten with it) and their own process numbers.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Done } from "./daemon.ts";

const executable = join(import.meta.dir, "../../dist/berth");
const sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].find((path) => Bun.file(path).size > 0);

/** Whether such a host can be had: tests say so where it cannot. */
export const hasSshd = sshd !== undefined && Bun.which("ssh") !== null;

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function listens(port: number): Promise<boolean> {
  return Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } }).then(
    (socket) => {
      socket.end();
      return true;
    },
    () => false,
  );
}

/** A program's end with what it wrote. */
async function run(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin?: string,
): Promise<Done> {
  const child = Bun.spawn([...argv], {
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    cwd: "/",
    env,
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

/** A host that is reached by ssh as root, and the client's side: a home, an ssh with its own configuration. */
export class SshHost {
  readonly directory = mkdtempSync("/tmp/berth-ssh-");
  /** Programs that its sessions find first. */
  readonly bin = `${this.directory}/bin`;
  /** The key that lets in. */
  readonly key = `${this.directory}/user`;
  /** A key that nobody knows. */
  readonly strangersKey = `${this.directory}/stranger`;
  readonly knownHosts = `${this.directory}/known_hosts`;
  port = 0;
  #child: Bun.Subprocess | undefined;

  constructor() {
    for (const path of [this.bin, `${this.directory}/here`]) mkdirSync(path);
    for (const name of ["host", "user", "stranger", "otherhost"]) {
      const argv = [
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-f",
        `${this.directory}/${name}`,
      ];
      if (Bun.spawnSync(argv).exitCode !== 0) throw new Error("ssh-keygen failed");
    }
    copyFileSync(`${this.key}.pub`, `${this.directory}/authorized_keys`);
  }

  /** Starts its sshd, and waits until it listens. `hostKey`: "otherhost" for a key that nobody has seen yet. */
  async start(hostKey = "host"): Promise<this> {
    this.port ||= await freePort();
    writeFileSync(
      `${this.directory}/sshd_config`,
      `Port ${this.port}
ListenAddress 127.0.0.1
HostKey ${this.directory}/${hostKey}
AuthorizedKeysFile ${this.directory}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
SetEnv PATH=${this.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
`,
    );
    // A password that is locked would keep root out.
    const script = `set -e
scratch=${this.directory}/own
mkdir -p $scratch; mount -t tmpfs none $scratch
for path in etc usr; do
  mkdir -p $scratch/$path/upper $scratch/$path/work
  mount -t overlay -o lowerdir=/$path,upperdir=$scratch/$path/upper,workdir=$scratch/$path/work none /$path
done
mkdir -p /var/lib/berth
for path in /run /root /var/lib/berth; do mount -t tmpfs -o mode=0755 none $path; done
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow
mkdir -p /run/sshd
exec ${sshd} -D -e -f ${this.directory}/sshd_config`;
    const log = Bun.file(`${this.directory}/log`);
    this.#child = Bun.spawn(
      ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
      { stdin: "ignore", stdout: log, stderr: log },
    );
    const deadline = Date.now() + 20_000;
    while (!(await listens(this.port))) {
      if (this.#child.exitCode !== null || Date.now() > deadline)
        throw new Error(`sshd did not start: ${readFileSync(`${this.directory}/log`, "utf8")}`);
      await Bun.sleep(10);
    }
    this.trust(hostKey);
    this.useKey(this.key);
    return this;
  }

  /** Its address for berth and docker. */
  get url(): string {
    return `ssh://root@127.0.0.1:${this.port}`;
  }

  /** Which key of a host the client believes; none for nobody's. */
  trust(hostKey: string | undefined): void {
    const known = hostKey && readFileSync(`${this.directory}/${hostKey}.pub`, "utf8");
    writeFileSync(this.knownHosts, known ? `[127.0.0.1]:${this.port} ${known}` : "");
  }

  /** Which key the client's ssh offers; none for no key. */
  useKey(key: string | undefined): void {
    writeFileSync(
      `${this.directory}/ssh_config`,
      `Host *
  UserKnownHostsFile ${this.knownHosts}
  GlobalKnownHostsFile /dev/null
  IdentityAgent none
  IdentitiesOnly yes
  IdentityFile ${key ?? "none"}
`,
    );
    // ssh takes its configuration from the home that the system has for the user, whatever HOME says.
    const text = `#!/bin/sh\nexec ${Bun.which("ssh")} -F ${this.directory}/ssh_config "$@"\n`;
    writeFileSync(`${this.directory}/here/ssh`, text, { mode: 0o755 });
  }

  /** Puts the executable into its PATH under a name. */
  offer(name: "berth" | "docker"): void {
    writeFileSync(`${this.bin}/${name}`, `#!/bin/sh\nexec ${executable} "$@"\n`, { mode: 0o755 });
  }

  /** Takes it away again. */
  withdraw(name: "berth" | "docker"): void {
    rmSync(`${this.bin}/${name}`, { force: true });
  }

  /** What the client's programs see. */
  get env(): Record<string, string> {
    return {
      PATH: `${this.directory}/here:${process.env.PATH}`,
      HOME: `${this.directory}/home`,
      DOCKER_CONFIG: `${this.directory}/home/.docker`,
    };
  }

  berth(...args: string[]): Promise<Done> {
    return run([executable, ...args], this.env);
  }

  docker(...args: string[]): Promise<Done> {
    return run(["docker", ...args], this.env);
  }

  /** The same with standard input. */
  given(stdin: string, program: "berth" | "docker", ...args: string[]): Promise<Done> {
    return run([program === "berth" ? executable : program, ...args], this.env, stdin);
  }

  /** Runs a shell's command there, past berth. */
  there(command: string): Promise<Done> {
    return run(["ssh", "-p", String(this.port), "root@127.0.0.1", command], this.env);
  }

  /** Ends the daemon that was started there, if one was. */
  async stopDaemon(): Promise<void> {
    const script =
      'pid=$(cat /run/berth/berth.pid 2>/dev/null) || exit 0; kill "$pid" 2>/dev/null; while [ -e /proc/$pid ]; do sleep 0.05; done';
    const { status, err } = await this.there(script);
    if (status !== 0) throw new Error(err);
  }

  /** Ends it with all that runs there. */
  async stop(): Promise<void> {
    // The first process of its numbers dies with it, and everything with that one.
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    while (await listens(this.port)) await Bun.sleep(10);
  }

  /** Ends it, and forgets it. */
  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
