/**
 * A local network for tests: a pair of interfaces, of which one is the host's way to it and the other stands for all the rest.
 */

/** Runs a command of the host; gives what it says, of both kinds. */
export function host(...words: string[]): string {
  const { stdout, stderr } = Bun.spawnSync(words, { stdin: "ignore" });
  return stdout.toString() + stderr.toString();
}

/** Whether the kernel knows a kind of interface, as `ip link add` calls it. `on`: an interface that is there. */
export function knowsKind(kind: string, on: string): boolean {
  const more = kind === "vlan" ? ["id", "77"] : [];
  host("ip", "link", "add", "link", on, "name", "probe0", "type", kind, ...more);
  return Bun.spawnSync(["ip", "link", "delete", "probe0"]).exitCode === 0;
}

/** The LAN: `parent` is the host's interface to it, at `neighbour` somebody answers. */
export class Lan {
  readonly parent: string;
  private readonly far: string;

  constructor(
    name: string,
    readonly neighbour: string,
  ) {
    this.parent = `${name}0`;
    this.far = `${name}1`;
    host("ip", "link", "add", this.parent, "type", "veth", "peer", "name", this.far);
    for (const end of [this.parent, this.far]) host("ip", "link", "set", end, "up");
    host("ip", "address", "add", `${neighbour}/24`, "dev", this.far);
  }

  /** Whether the host's interface is there. */
  get there(): boolean {
    return Bun.spawnSync(["ip", "link", "show", this.parent]).exitCode === 0;
  }

  remove(): void {
    host("ip", "link", "delete", this.parent);
  }
}
