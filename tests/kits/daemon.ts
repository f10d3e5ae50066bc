/**
 * A daemon of a test's own: the built executable on its own roots, socket and bridge, beside any other.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { settledLeftover, takeCensus } from "./census.ts";
import { everyoneGuarded, guardedFlags, reachable, roomFor } from "./guard-policy.ts";
import {
  ownProcesses,
  removeGroup,
  type UserWishes,
  type UserWorld,
  userWorld,
} from "./rootless.ts";

const executable = join(import.meta.dir, "../../dist/berth");

/** What a command did. */
export interface Done {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Options of one command. */
export interface CommandOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Where the command is called. */
  readonly cwd?: string;
}

async function run(
  argv: readonly string[],
  env: Record<string, string>,
  options: CommandOptions,
): Promise<Done> {
  const child = Bun.spawn([...argv], {
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    cwd: options.cwd ?? "/",
    env: {
      PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin",
      HOME: "/nonexistent",
      ...env,
      ...options.env,
    },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

/** A command on a terminal, as a person sees it. */
export class TerminalSession {
  #shown = "";
  readonly #child: Bun.Subprocess;

  constructor(argv: readonly string[], env: Record<string, string>) {
    this.#child = Bun.spawn([...argv], {
      cwd: "/",
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", TERM: "xterm", ...env },
      terminal: {
        cols: 100,
        rows: 30,
        data: (_terminal, data) => {
          this.#shown += new TextDecoder().decode(data);
        },
      },
    });
  }

  /** What has been shown so far. */
  get shown(): string {
    return this.#shown;
  }

  type(text: string): void {
    this.#child.terminal?.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#child.terminal?.resize(columns, rows);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits until the text is shown after what was there when `from` was taken; throws after ten seconds. */
  async see(text: string | RegExp, from = 0): Promise<void> {
    const deadline = Date.now() + 10_000;
    for (;;) {
      const now = this.#shown.slice(from);
      if (typeof text === "string" ? now.includes(text) : text.test(now)) return;
      if (Date.now() > deadline)
        throw new Error(`${text} is not shown, but ${JSON.stringify(this.#shown)}`);
      await Bun.sleep(10);
    }
  }

  /** The exit status. */
  async ended(): Promise<number> {
    const status = await this.#child.exited;
    this.#child.terminal?.close();
    return status;
  }
}

/** BERTH_TEST_FIREWALL=iptables runs a file's tests on that backend of the firewall; those that name one keep it. */
function firewallFlags(flags: readonly string[]): string[] {
  const backend = process.env.BERTH_TEST_FIREWALL;
  const named = flags.some((flag) => flag.startsWith("--firewall-backend"));
  return backend === undefined || named ? [] : [`--firewall-backend=${backend}`];
}

/** BERTH_TEST_ROOTLESS=1 runs a file's tests on an ordinary user's daemon; tests/rootless-exceptions.md says what cannot hold. */
const everyoneRootless = process.env.BERTH_TEST_ROOTLESS === "1";

/** One daemon with its data. */
export class TestDaemon {
  readonly directory = mkdtempSync(roomFor("bt-"));
  readonly socket = `${this.directory}/s`;
  private child: Bun.Subprocess | undefined;
  private readonly world: UserWorld | undefined;
  private readonly guarded: boolean;
  private readonly group: string | undefined;

  /**
   * `within`: a command that runs the daemon in the end, in its own process; it gets the daemon's command line. `user`: it is
   * root's or an ordinary user's, who has a control group unless wishes say something else.
   */
  constructor(
    private readonly flags: readonly string[] = [],
    public within: readonly string[] = [],
    user?: UserWishes | "root",
  ) {
    const usual = everyoneRootless ? { group: basename(this.directory) } : undefined;
    const wishes = user === "root" ? undefined : (user ?? usual);
    this.group = wishes?.group;
    // Whoever names a user, or is one's own, says how it is to be.
    this.guarded =
      everyoneGuarded && wishes === undefined && user === undefined && !flags.includes("--user");
    this.world = wishes && userWorld(this.directory, executable, wishes);
  }

  /** What goes before a command that is to be run in the network that has the daemon's bridges: the host's, or a user's own. */
  get inNetwork(): readonly string[] {
    if (this.world === undefined) return [];
    const [dweller = 0] = ownProcesses("berth-dweller", this.directory);
    return ["nsenter", `--net=/proc/${dweller}/ns/net`];
  }

  /** What goes before a command that is to see and change the daemon's mounts: the host's, or a user's own. */
  get inMounts(): readonly string[] {
    return this.world === undefined ? [] : ["nsenter", `--mount=/proc/${this.pid}/ns/mnt`];
  }

  /** Runs berth's command line as the daemon's user, who has named no daemon. */
  asUser(...args: string[]): Promise<Done> {
    if (this.world === undefined) throw new Error("the daemon is root's");
    const { within, executable: own, env } = this.world;
    return run([...within, own, ...args], env, {});
  }

  /** Starts it, with `more` flags that come last, and waits until it answers. */
  async start(...more: string[]): Promise<this> {
    const log = Bun.file(`${this.directory}/log`);
    const flags = [
      "-H",
      `unix://${this.socket}`,
      "--data-root",
      `${this.directory}/data`,
      "--exec-root",
      `${this.directory}/exec`,
      ...(this.world === undefined ? firewallFlags(this.flags) : ["--rootless"]),
      ...(this.guarded ? guardedFlags(this.directory, [...this.flags, ...more]) : []),
      ...this.flags,
      ...more,
    ];
    const program = [...(this.world?.within ?? []), this.world?.executable ?? this.program];
    this.child = Bun.spawn([...this.within, ...program, "daemon", ...flags], {
      env: { ...process.env, ...this.world?.env },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    const deadline = Date.now() + 20_000;
    while (!existsSync(this.socket) || !(await this.answers())) {
      if (this.child.exitCode !== null || Date.now() > deadline) {
        if (this.group !== undefined) await removeGroup(this.group);
        throw new Error(`the daemon did not start: ${this.log}`);
      }
      await Bun.sleep(5);
    }
    return this;
  }

  /** What is started. */
  protected get program(): string {
    return this.guarded ? reachable(executable, this.directory) : executable;
  }

  private async answers(): Promise<boolean> {
    return fetch("http://x/_ping", { unix: this.socket }).then(
      (response) => response.ok,
      () => false,
    );
  }

  /** The daemon's process. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Runs berth's command line on a terminal of 100 columns and 30 rows. */
  onTerminal(...args: string[]): TerminalSession {
    return new TerminalSession([executable, ...args], { BERTH_HOST: `unix://${this.socket}` });
  }

  /** The stock docker command line on such a terminal. */
  dockerOnTerminal(...args: string[]): TerminalSession {
    return new TerminalSession(["docker", ...args], { DOCKER_HOST: `unix://${this.socket}` });
  }

  /** What it has logged. */
  get log(): string {
    return existsSync(`${this.directory}/log`) ? readFileSync(`${this.directory}/log`, "utf8") : "";
  }

  /** Runs berth's own command line against it. */
  berth(...args: string[]): Promise<Done> {
    return this.berthWith({}, ...args);
  }

  berthWith(options: CommandOptions, ...args: string[]): Promise<Done> {
    return run([executable, ...args], { BERTH_HOST: `unix://${this.socket}` }, options);
  }

  /** Runs the stock docker command line against it. */
  docker(...args: string[]): Promise<Done> {
    return this.dockerWith({}, ...args);
  }

  dockerWith(options: CommandOptions, ...args: string[]): Promise<Done> {
    return run(["docker", ...args], { DOCKER_HOST: `unix://${this.socket}` }, options);
  }

  /** A field of a container, by a template. */
  async inspect(name: string, format: string): Promise<string> {
    return (await this.berth("inspect", "--format", format, name)).out.trim();
  }

  /** Waits until a field of a container is as wanted; throws after fifteen seconds. */
  async until(name: string, format: string, wanted: string | RegExp): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const now = await this.inspect(name, format);
      if (typeof wanted === "string" ? now === wanted : wanted.test(now)) return;
      if (Date.now() > deadline) throw new Error(`${format} of ${name} is ${now}, not ${wanted}`);
      await Bun.sleep(20);
    }
  }

  /** One request to the API. */
  async api(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; text: string }> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(`http://x${path}`, {
      method,
      unix: this.socket,
      ...(body === undefined
        ? {}
        : { body: text, headers: { "Content-Type": "application/json" } }),
    });
    return { status: response.status, text: await response.text() };
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.child?.exited;
  }

  /** Its exit status, once it has ended by itself. */
  async ended(): Promise<number> {
    return (await this.child?.exited) ?? 0;
  }

  /** Ends it as an administrator does; gives its exit status. */
  async stop(): Promise<number> {
    this.child?.kill("SIGTERM");
    return (await this.child?.exited) ?? 0;
  }

  /** Removes every container, ends it, and deletes its data. */
  async destroy(): Promise<void> {
    const list = await this.berth("ps", "-aq");
    const ids = list.out.split("\n").filter(Boolean);
    const removal = ids.length > 0 ? await this.berth("rm", "-f", "-v", ...ids) : list;
    await this.stop();
    // What stays is the daemon's fault, and its log says why.
    if (list.status !== 0 || removal.status !== 0)
      console.error(list.err, removal.err, this.log.slice(-4000));
    if (this.group !== undefined) await removeGroup(this.group);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A daemon for the tests of one file, started before and destroyed after them; then the census must be clean. */
export function daemonOfFile(...options: ConstructorParameters<typeof TestDaemon>): TestDaemon {
  const before = takeCensus();
  const daemon = new TestDaemon(...options);
  beforeAll(async () => {
    await daemon.start();
  });
  afterAll(async () => {
    await daemon.destroy();
    expect(await settledLeftover(before)).toEqual([]);
  });
  return daemon;
}
