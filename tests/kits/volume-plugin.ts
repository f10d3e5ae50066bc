/**
 * A volume driver of the tests' own, by Docker's plugin protocol: each volume is a directory. It counts who has what mounted,
 * and can be told to fail.
 */
import { mkdirSync, rmSync } from "node:fs";
import { giveToDaemon } from "./scratch.ts";

type Answer = Readonly<Record<string, unknown>>;

/** One plugin, listening at a socket. */
export class VolumePluginFake {
  /** The volumes by name, with their options. */
  readonly volumes = new Map<string, Readonly<Record<string, string>>>();
  /** "VOLUME ID" of each mount that has not been taken back. */
  readonly mounted = new Set<string>();
  readonly calls: string[] = [];
  /** What a method answers instead of doing anything. */
  readonly failures = new Map<string, string>();
  private server: ReturnType<typeof Bun.serve> | undefined;

  constructor(
    readonly socket: string,
    readonly directory: string,
  ) {}

  listen(): this {
    rmSync(this.socket, { force: true });
    this.server = Bun.serve({
      unix: this.socket,
      fetch: async (request) => {
        const method = new URL(request.url).pathname.slice(1);
        const body = JSON.parse((await request.text()) || "{}") as Record<string, unknown>;
        this.calls.push(method);
        const failure = this.failures.get(method);
        return Response.json(failure === undefined ? this.answer(method, body) : { Err: failure });
      },
    });
    giveToDaemon(this.socket);
    return this;
  }

  private answer(method: string, body: Answer): Answer {
    const {
      Name = "",
      ID = "",
      Opts = {},
    } = body as {
      Name?: string;
      ID?: string;
      Opts?: Record<string, string>;
    };
    const place = `${this.directory}/${Name}`;
    const shown = (name: string) => ({
      Name: name,
      Mountpoint: [...this.mounted].some((one) => one.startsWith(`${name} `)) ? place : "",
      Status: { Options: this.volumes.get(name) ?? {} },
    });
    switch (method) {
      case "Plugin.Activate":
        return { Implements: ["VolumeDriver"] };
      case "VolumeDriver.Capabilities":
        return { Capabilities: { Scope: "global" } };
      case "VolumeDriver.Create":
        this.volumes.set(Name, Opts);
        mkdirSync(place, { recursive: true });
        return { Err: "" };
      case "VolumeDriver.Remove":
        this.volumes.delete(Name);
        rmSync(place, { recursive: true, force: true });
        return { Err: "" };
      case "VolumeDriver.Mount":
        this.mounted.add(`${Name} ${ID}`);
        return { Mountpoint: place, Err: "" };
      case "VolumeDriver.Unmount":
        this.mounted.delete(`${Name} ${ID}`);
        return { Err: "" };
      case "VolumeDriver.Path":
        return { Mountpoint: place, Err: "" };
      case "VolumeDriver.Get":
        return this.volumes.has(Name) ? { Volume: shown(Name) } : { Err: "no such volume" };
      case "VolumeDriver.List":
        return { Volumes: [...this.volumes.keys()].map(shown) };
      default:
        return { Err: `unknown: ${method}` };
    }
  }

  async stop(): Promise<void> {
    await this.server?.stop(true);
    rmSync(this.socket, { force: true });
  }
}
