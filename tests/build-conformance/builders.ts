/**
 * Builders under test: berth's, and the classic one of dockerd where that is installed.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import type { BuildInput } from "./case.ts";
import { archiveOf, type Outcome, readImage } from "./image.ts";

/** What a build said, and what came of it. */
export interface Built {
  readonly id?: string;
  readonly error?: string;
  /** For each RUN, COPY, ADD and WORKDIR that needs work: whether it was there already. */
  readonly hits: readonly boolean[];
}

interface Line {
  readonly stream?: string;
  readonly error?: string;
  readonly aux?: { readonly ID?: string };
}

/** Which steps were taken from the cache, by what the stream says. */
function hitsIn(text: string): boolean[] {
  const steps = text.split(/^Step \d+\/\d+ : /m).slice(1);
  return steps
    .filter((step) => /^(RUN|COPY|ADD|WORKDIR)\b/i.test(step))
    .map((step) => step.includes(" ---> Using cache"));
}

/** An engine that builds. */
export class Builder {
  constructor(readonly socket: string) {}

  private async post(path: string, body: Uint8Array): Promise<{ ok: boolean; text: string }> {
    const headers = { "Content-Type": "application/x-tar" };
    const init = { method: "POST", unix: this.socket, body: Buffer.from(body), headers };
    const response = await fetch(`http://x${path}`, { ...init, timeout: false } as RequestInit);
    return { ok: response.ok, text: await response.text() };
  }

  async build({ dockerfile, files = {}, query = {} }: BuildInput): Promise<Built> {
    const context = archiveOf({ ...files, Dockerfile: dockerfile });
    const { ok, text } = await this.post(`/build?${new URLSearchParams(query)}`, context);
    if (!ok) return { error: (JSON.parse(text) as { message: string }).message, hits: [] };
    const lines = text
      .split("\n")
      .flatMap((line) => (line.trim() ? [JSON.parse(line) as Line] : []));
    const hits = hitsIn(lines.map(({ stream = "" }) => stream).join(""));
    const error = lines.find((line) => line.error !== undefined)?.error;
    if (error !== undefined) return { error, hits };
    const id = lines.findLast(({ aux }) => aux?.ID !== undefined)?.aux?.ID;
    return { ...(id === undefined ? {} : { id }), hits };
  }

  async saved(name: string): Promise<Uint8Array> {
    const response = await fetch(`http://x/images/${name}/get`, { unix: this.socket });
    if (!response.ok) throw new Error(`${name}: ${await response.text()}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  async image(name: string): Promise<Outcome> {
    return readImage(await this.saved(name));
  }

  async load(archive: Uint8Array): Promise<void> {
    const { ok, text } = await this.post("/images/load", archive);
    if (!ok) throw new Error(text);
  }
}

/** dockerd on roots of its own, without a network. */
export class ClassicDaemon {
  /** Why it cannot be had; undefined when it can. */
  static readonly missing: string | undefined = Bun.which("dockerd", {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin",
  })
    ? undefined
    : "dockerd is not installed";

  private readonly directory = mkdtempSync("/tmp/classic-");
  readonly socket = `${this.directory}/s`;
  private readonly child: Bun.Subprocess;

  constructor() {
    const log = Bun.file(`${this.directory}/log`);
    const roots = ["--data-root", `${this.directory}/d`, "--exec-root", `${this.directory}/x`];
    // In namespaces of its own, so that all that it starts is gone with it.
    const argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"];
    const quiet = ["--bridge", "none", "--iptables=false", "-p", `${this.directory}/pid`];
    this.child = Bun.spawn([...argv, "-H", `unix://${this.socket}`, ...roots, ...quiet], {
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
  }

  async ready(): Promise<Builder> {
    for (let tries = 0; tries < 1500; tries++) {
      const ping = existsSync(this.socket)
        ? fetch("http://x/_ping", { unix: this.socket }).then(({ ok }) => ok)
        : Promise.resolve(false);
      if (await ping.catch(() => false)) return new Builder(this.socket);
      if (this.child.exitCode !== null) break;
      await Bun.sleep(20);
    }
    throw new Error(`dockerd did not start: ${await Bun.file(`${this.directory}/log`).text()}`);
  }

  async close(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}
