/**
 * berth's own registry for tests: the built executable with a root of its own, on a port of loopback.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

const executable = join(import.meta.dir, "../../dist/berth");

/** A TCP port of loopback that nobody has just now. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  probe.stop(true);
  return probe.port;
}

/** A registry that can be ended in every way and started again on the same data and port. */
export class OwnRegistry {
  readonly directory = mkdtempSync("/tmp/bo-");
  readonly root = `${this.directory}/root`;
  private child: Bun.Subprocess | undefined;
  readonly address = `127.0.0.1:${freePort()}`;

  /** `args`: what comes after `berth registry serve`. */
  constructor(
    private readonly args: (directory: string) => readonly string[] = () => ["--delete"],
  ) {}

  /** Starts it and waits until it listens. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<this> {
    rmSync(`${this.directory}/log`, { force: true });
    const place = ["--root", this.root, "--addr", this.address];
    this.child = Bun.spawn(
      [executable, "registry", "serve", ...place, ...this.args(this.directory)],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: Bun.file(`${this.directory}/log`),
        env: { PATH: process.env.PATH ?? "", ...env },
      },
    );
    for (let tries = 0; tries < 1000; tries++) {
      if (this.log.includes("registry: listen")) return this;
      if (this.child.exitCode !== null) break;
      await Bun.sleep(10);
    }
    throw new Error(`the registry did not start: ${this.log}`);
  }

  /** What it has logged since its last start. */
  get log(): string {
    const path = `${this.directory}/log`;
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Runs garbage collection; gives what it prints. */
  async collect(...flags: string[]): Promise<string> {
    const child = Bun.spawn(
      [executable, "registry", "garbage-collect", "--root", this.root, ...flags],
      { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(err);
    return out;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.child?.exited;
  }

  /** Ends it as an administrator does; gives its exit status. */
  async stop(): Promise<number> {
    this.child?.kill("SIGTERM");
    return (await this.child?.exited) ?? 0;
  }

  /** Ends it and deletes what it has. */
  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
