/**
 * Another host, as far as one can be had on this one: a real sshd on loopback whose sessions have their own /etc, /run,
 * /root, /usr and /var/lib/berth (which are forgotten with it) and their own process numbers.
 */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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

/**
 * What is asked of systemd by those who install berth: it notes each call in /run/systemctl.calls, holds the socket of the
 * socket unit, and has the service unit's ExecStart on it. A restart ends the service's first process alone (KillMode).
 */
const systemctl = `#!/usr/bin/python3
import grp, os, re, signal, socket, sys, time
with open("/run/systemctl.calls", "a") as calls: print(*sys.argv[1:], file=calls)
units = "/usr/local/lib/systemd/system/"
def said(unit, key): return re.search("^%s=(.*)$" % key, open(units + unit).read(), re.M)[1]
def end():
    try: pid = int(open("/run/service.pid").read())
    except FileNotFoundError: return
    try: os.kill(pid, signal.SIGTERM)
    except ProcessLookupError: pass
    while os.path.exists("/proc/%d" % pid): time.sleep(0.02)
    os.unlink("/run/service.pid")
if sys.argv[1] == "disable": end()
if sys.argv[1:] != ["restart", "berth.service"]: sys.exit()
end()
path = said("berth.socket", "ListenStream")
os.makedirs(os.path.dirname(path), exist_ok=True)
if os.path.exists(path): os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(64)
os.chown(path, 0, grp.getgrnam(said("berth.socket", "SocketGroup")).gr_gid)
os.chmod(path, int(said("berth.socket", "SocketMode"), 8))
if os.fork(): os._exit(0)
os.setsid()
with open("/run/service.pid", "w") as file: file.write(str(os.getpid()))
log = os.open("/run/service.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
for number in (1, 2): os.dup2(log, number)
if listener.fileno() == 3: os.set_inheritable(3, True)
else: os.dup2(listener.fileno(), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
words = said("berth.service", "ExecStart").split()
os.execv(words[0], words)
`;

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

  /**
   * Makes a user there who gets in with the same key. `sudoers`: what comes behind the user's name in sudo's
   * configuration. The directory becomes passable for everybody, since sshd reads its files as the user.
   */
  async addUser(user: string, sudoers?: string): Promise<void> {
    chmodSync(this.directory, 0o711);
    chmodSync(this.bin, 0o755);
    const rights = `printf '%s\n' '${user} ${sudoers}' > /etc/sudoers.d/${user}`;
    const { status, err } = await this.there(
      `useradd -M -d /run/${user} -s /bin/sh -p '*' ${user} && install -d -o ${user} /run/${user} && ${sudoers === undefined ? "true" : rights}`,
    );
    if (status !== 0) throw new Error(err);
  }

  /** As if systemd ran there. */
  async giveSystemd(): Promise<void> {
    writeFileSync(`${this.directory}/systemctl`, systemctl);
    const { status, err } = await this.there(
      `mkdir -p /run/systemd/system && install -m 755 ${this.directory}/systemctl /usr/local/bin/systemctl`,
    );
    if (status !== 0) throw new Error(err);
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
  there(command: string, user = "root"): Promise<Done> {
    return run(["ssh", "-p", String(this.port), `${user}@127.0.0.1`, command], this.env);
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
