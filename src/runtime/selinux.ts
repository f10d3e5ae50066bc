/**
 * SELinux on this host: whether it is there and wanted, what labels containers usually have, and which levels are taken.
 */
import { existsSync, readFileSync } from "node:fs";

const ENFORCE = "/sys/fs/selinux/enforce";
const CONFIG = "/etc/selinux/config";
/** As many categories as the policies of all distributions know. */
const CATEGORIES = 1024;
/** The labels of a host whose policy does not name any. */
const usual = {
  process: "system_u:system_r:container_t:s0",
  mount: "system_u:object_r:container_file_t:s0",
};

/** The labels that a policy has for containers (lxc_contexts). */
export function containerLabels(
  read: (path: string) => string = textOf,
): Readonly<Record<"process" | "mount", string>> {
  const policy = /^\s*SELINUXTYPE\s*=\s*(\S+)/m.exec(read(CONFIG))?.[1] ?? "targeted";
  const text = read(`/etc/selinux/${policy}/contexts/lxc_contexts`);
  const named = (name: string) =>
    new RegExp(`^\\s*${name}\\s*=\\s*"?([^"\\n]+?)"?\\s*$`, "m").exec(text)?.[1];
  return { process: named("process") ?? usual.process, mount: named("file") ?? usual.mount };
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** The levels of containers: pairs of categories, no two the same, so that no container may touch another's files. */
export class SelinuxLevels {
  private readonly taken = new Map<string, number>();

  constructor(private readonly random: (below: number) => number = randomBelow) {}

  /** A level that no container has; it is taken from now on. */
  choose(): string {
    for (;;) {
      const [one, other] = [this.random(CATEGORIES), this.random(CATEGORIES)];
      if (one === other) continue;
      const level = `s0:c${Math.min(one, other)},c${Math.max(one, other)}`;
      if (this.taken.has(level)) continue;
      this.take(level);
      return level;
    }
  }

  /** Notes a level that a container has. */
  take(level: string): void {
    this.taken.set(level, (this.taken.get(level) ?? 0) + 1);
  }

  /** One container less has it. */
  release(level: string): void {
    const users = (this.taken.get(level) ?? 0) - 1;
    if (users > 0) this.taken.set(level, users);
    else this.taken.delete(level);
  }
}

function randomBelow(below: number): number {
  return (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % below;
}

/** SELinux, as a daemon uses it. */
export class Selinux {
  readonly levels = new SelinuxLevels();
  /** Containers have labels: the kernel keeps some, and the daemon was told to. */
  readonly enabled: boolean;
  /** Whether the kernel has SELinux with a policy. */
  readonly active: boolean;

  constructor(wanted: boolean) {
    this.active = existsSync(ENFORCE);
    this.enabled = wanted && this.active;
  }

  /** The labels of a container that asks for none, without a level of its own. */
  usual(): Readonly<Record<"process" | "mount", string>> {
    return containerLabels();
  }
}
