/**
 * A registry for tests: Debian's docker-registry on a port of loopback, with or without a password.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";

/** A registry that runs. */
export class TestRegistry {
  private readonly directory = mkdtempSync("/tmp/br-");
  private child: Bun.Subprocess | undefined;
  /** "127.0.0.1:PORT" */
  readonly address: string;

  /** `users`: lines of htpasswd. */
  constructor(private readonly users: string | undefined = undefined) {
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    this.address = `127.0.0.1:${probe.port}`;
    probe.stop(true);
  }

  async start(): Promise<this> {
    const auth =
      this.users === undefined
        ? ""
        : `auth:\n  htpasswd:\n    realm: test\n    path: ${this.directory}/users\n`;
    if (this.users !== undefined) writeFileSync(`${this.directory}/users`, this.users);
    writeFileSync(
      `${this.directory}/config.yml`,
      `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${this.directory}/data\n  delete:\n    enabled: true\nhttp:\n  addr: ${this.address}\n${auth}`,
    );
    this.child = Bun.spawn(["docker-registry", "serve", `${this.directory}/config.yml`], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(`${this.directory}/log`),
    });
    for (let tries = 0; tries < 500; tries++) {
      if (
        await fetch(`http://${this.address}/v2/`).then(
          () => true,
          () => false,
        )
      )
        return this;
      await Bun.sleep(20);
    }
    throw new Error(
      `the registry did not start: ${await Bun.file(`${this.directory}/log`).text()}`,
    );
  }

  /** Ends it and deletes what it has. */
  async stop(): Promise<void> {
    this.child?.kill("SIGTERM");
    await this.child?.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
