/**
 * Control groups, versions 1 and 2, behind one interface. Everything happens below one parent directory of berth's own, or
 * below a parent that a user names; of cgroups that berth did not make it changes only what a child in them needs: empty
 * cpusets are filled, controllers are delegated.
 *
 * The calls are synchronous: each is a few writes to kernel files, and a start does them in one go.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { errnoOf, fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { inUserNamespace } from "../base/user-namespace.ts";
import type { OciResources } from "../spec/oci-runtime.ts";
import {
  type CgroupLimit,
  limitFiles,
  type ResourceWrite,
  undoingValue,
  v1Writes,
  v2Writes,
} from "./cgroup-resources.ts";
import { type CgroupUsage, readControl, usageV1, usageV2 } from "./cgroup-stats.ts";
import { directories, pidsBelow, removeTree } from "./cgroup-tree.ts";
import type { MadeCgroups } from "./made-cgroups.ts";

/** No file of limits is longer. */
const CONTROL_SIZE = 8192;

/** A container's cgroup, as the launch plan needs it. */
export interface CgroupJoin {
  /** Version 1: the child writes 0 to each. */
  readonly joinFiles: readonly string[];
  /** Version 2: the child is born there. */
  readonly into?: string;
  /** The file with the word oom_kill and a count. */
  readonly oomFile?: string;
}

/** One version-1 hierarchy. */
interface Hierarchy {
  /** The directory's name under the mount root: "cpu,cpuacct". */
  readonly directory: string;
  /** Where it is mounted. */
  readonly path: string;
  readonly controllers: readonly string[];
  /** The mount option that names it: "cpu,cpuacct" or "name=systemd". */
  readonly option: string;
}

function lacking(controller: string, file: string): Error {
  return fault(
    "failed",
    "cgroup-controller",
    `the host has no ${controller} cgroup controller, which ${file} needs`,
  );
}

function refused(file: string, value: string, error: unknown): Error {
  return fault(
    "failed",
    "cgroup-write",
    `cannot set ${file} to ${value}: ${messageOf(error)}`,
    error,
  );
}

/** A user has no more of the host's groups than have been delegated. */
function notDelegated(parent: string, top: string, cause?: unknown): Error {
  return fault(
    "unsupported",
    "cgroup-parent-outside",
    `the control group ${parent} is not this user's to put containers in: give --cgroup-parent one below ${top}, which has been delegated, or a name without a slash at its beginning, for one of the daemon's own`,
    cause,
  );
}

/** The host's control groups. */
export class Cgroups {
  private readonly ready = new Set<string>();

  private constructor(
    readonly version: 1 | 2,
    private readonly hierarchies: readonly Hierarchy[],
    /** Where version 2 is mounted: the whole with version 2, beside the hierarchies (where runc leaves directories) with 1. */
    private readonly unified: string,
    /** What has been made outside of berth's own group; undefined when there is no outside. */
    private readonly made: MadeCgroups | undefined,
    /** False: containers are in the engine's own group, with it and each other, and nothing of groups works. */
    readonly there = true,
    /** The topmost group that the engine may change. */
    private readonly top = "",
  ) {}

  /** For an engine that may make no groups. */
  static none(): Cgroups {
    return new Cgroups(1, [], "", undefined, false);
  }

  /** Every place that may have a directory of ours. */
  get roots(): readonly string[] {
    return [
      ...this.hierarchies.map((hierarchy) => hierarchy.path),
      ...(this.unified === "" ? [] : [this.unified]),
    ];
  }

  /** Reads what this host has. Throws a Fault "unsupported" when nothing is mounted. */
  static detect(
    made?: MadeCgroups,
    mountinfo = readFileSync("/proc/self/mountinfo", "utf8"),
    top = "",
  ): Cgroups {
    const hierarchies: Hierarchy[] = [];
    let unified = "";
    for (const line of mountinfo.trim().split("\n")) {
      const [left = "", right = ""] = line.split(" - ");
      const path = left.split(" ")[4] ?? "";
      const [type, , options = ""] = right.split(" ");
      if (type === "cgroup2" && unified === "") unified = path;
      if (type !== "cgroup" || hierarchies.some((known) => known.path === path)) continue;
      const words = options
        .split(",")
        .filter((word) => !/^(rw|ro|xattr|release_agent=.*|clone_children)$/.test(word));
      const named = words.find((word) => word.startsWith("name="));
      hierarchies.push({
        directory: path.slice(path.lastIndexOf("/") + 1),
        path,
        controllers: words.filter((word) => !word.startsWith("name=")),
        option: named ?? words.join(","),
      });
    }
    if (hierarchies.some((hierarchy) => hierarchy.controllers.length > 0))
      return new Cgroups(1, hierarchies, unified, made);
    if (unified === "")
      throw fault(
        "unsupported",
        "no-cgroups",
        "no cgroup file system is mounted; mount cgroup2 at /sys/fs/cgroup",
      );
    return new Cgroups(2, [], unified, made, true, top);
  }

  /** Where version 2 is mounted, on a host that has no other; else undefined. */
  static unifiedAlone(): string | undefined {
    try {
      const { version, unified } = Cgroups.detect();
      return version === 2 ? unified : undefined;
    } catch {
      return undefined;
    }
  }

  /** What to show inside a container; empty with version 2, undefined: nothing, not even that. */
  get mounts(): readonly { directory: string; option: string; path: string }[] | undefined {
    if (!this.there) return undefined;
    return this.hierarchies.map(({ directory, option, path }) => ({ directory, option, path }));
  }

  /** True when the host has the controller. */
  has(controller: string): boolean {
    if (this.version === 1) return this.hierarchies.some((h) => h.controllers.includes(controller));
    const file = `${this.unified}${this.top}/cgroup.controllers`;
    return (
      existsSync(file) &&
      readFileSync(file, "utf8")
        .split(/\s+/)
        .includes(controller === "blkio" ? "io" : controller)
    );
  }

  /** True when the host can set such a limit. */
  can(limit: CgroupLimit): boolean {
    const { v1, v2 } = limitFiles[limit];
    const rootOf = (file: string) =>
      this.hierarchies.find((h) => h.controllers.includes(file.split(".")[0] ?? ""))?.path;
    const files = this.version === 2 ? v2 : v1;
    return files.some((file) => {
      if (this.version === 2 && !this.has(file.split(".")[0] ?? "")) return false;
      const root = this.version === 2 ? this.unified : rootOf(file);
      if (root === undefined) return false;
      // The topmost group lacks some files that every group below it has.
      return [root, `${root}/${directories(root)[0]}`].some((group) =>
        existsSync(`${group}/${file}`),
      );
    });
  }

  /** True when the host accounts for swap. */
  get swapAccounting(): boolean {
    if (this.version === 2) return true;
    const memory = this.hierarchies.find((h) => h.controllers.includes("memory"));
    return memory !== undefined && existsSync(`${memory.path}/memory.memsw.limit_in_bytes`);
  }

  /**
   * Makes the cgroup at `path` (as "/berth/<id>") with its limits. Throws a Fault "failed" that names the file when the
   * kernel refuses a limit; what was made is then gone again.
   */
  create(path: string, resources: OciResources): CgroupJoin {
    if (!this.there) return { joinFiles: [] };
    try {
      const parent = path.slice(0, path.lastIndexOf("/"));
      if (this.made?.isOutside(path)) this.makeOutside(path, parent, this.made);
      else this.makeParent(parent || "/");
      if (this.version === 2) return this.createUnified(path, resources);
      for (const hierarchy of this.hierarchies)
        mkdirSync(hierarchy.path + path, { recursive: true });
      this.apply(path, resources);
      const memory = this.hierarchies.find((h) => h.controllers.includes("memory"));
      return {
        joinFiles: this.joinFiles(path),
        ...(memory ? { oomFile: `${memory.path}${path}/memory.oom_control` } : {}),
      };
    } catch (error) {
      this.remove(path);
      throw error;
    }
  }

  /** The files by which a process enters an existing cgroup. */
  joinFiles(path: string): string[] {
    if (this.version === 2) return [`${this.unified}${path}/cgroup.procs`];
    // Without hierarchies there is none to enter.
    return this.hierarchies.map((hierarchy) => `${hierarchy.path}${path}/tasks`);
  }

  private createUnified(path: string, resources: OciResources): CgroupJoin {
    mkdirSync(this.unified + path, { recursive: true });
    this.apply(path, resources);
    return {
      joinFiles: [],
      into: this.unified + path,
      oomFile: `${this.unified}${path}/memory.events`,
    };
  }

  /** Makes the directories above, once: version 1 lets children inherit cpus and memory nodes, version 2 delegates. */
  private makeParent(parent: string): void {
    if (this.ready.has(parent)) return;
    let at = "";
    for (const name of parent.split("/").filter(Boolean)) {
      if (this.version === 2) this.delegate(at);
      at += `/${name}`;
      for (const hierarchy of this.hierarchies) {
        mkdirSync(hierarchy.path + at, { recursive: true });
        if (!hierarchy.controllers.includes("cpuset")) continue;
        this.inheritCpuset(hierarchy.path, at);
        writeFileSync(`${hierarchy.path}${at}/cgroup.clone_children`, "1");
      }
      if (this.version === 2) mkdirSync(this.unified + at, { recursive: true });
    }
    if (this.version === 2) this.delegate(at);
    this.ready.add(parent);
  }

  /** Makes what is missing of a parent outside of berth's own group, and the cgroup itself, which that does not prepare. */
  private makeOutside(path: string, parent: string, made: MadeCgroups): void {
    if (!path.startsWith(`${this.top}/`)) throw notDelegated(parent, this.top);
    try {
      this.makeRemembered(path, parent, made);
    } catch (error) {
      const isRefused = /^(EACCES|EPERM)$/.test(errnoOf(error) ?? "");
      throw isRefused && this.top !== "" ? notDelegated(parent, this.top, error) : error;
    }
  }

  private makeRemembered(path: string, parent: string, made: MadeCgroups): void {
    const above = parent
      .split("/")
      .filter(Boolean)
      .map((_, index, names) => `/${names.slice(0, index + 1).join("/")}`);
    // An external runtime makes them in every place, too.
    const missing = this.roots
      .flatMap((root) => above.map((at) => root + at))
      .filter((directory) => !existsSync(directory));
    made.remember(path, missing, () => {
      for (const { path: root, controllers } of this.hierarchies) {
        mkdirSync(root + path, { recursive: true });
        if (controllers.includes("cpuset"))
          for (const at of [...above, path]) this.inheritCpuset(root, at);
      }
      if (this.version === 1) return;
      mkdirSync(this.unified + path, { recursive: true });
      for (const at of ["", ...above]) this.delegate(at);
    });
  }

  /** A set of no processors holds no process: it gets those of the set above. */
  private inheritCpuset(root: string, at: string): void {
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      const own = `${root}${at}/${file}`;
      if (readFileSync(own, "utf8").trim() !== "") continue;
      const above = `${root}${at.slice(0, at.lastIndexOf("/"))}/${file}`;
      writeFileSync(own, readFileSync(above, "utf8"));
    }
  }

  /** Version 2: lets groups below this one have limits. */
  delegate(at: string): void {
    const wanted = ["cpu", "cpuset", "io", "memory", "pids"];
    for (const controller of wanted) {
      try {
        writeFileSync(`${this.unified}${at}/cgroup.subtree_control`, `+${controller}`);
      } catch {
        // The host does not have it or does not delegate it; a limit that needs it will say so.
      }
    }
  }

  /** Writes limits. `before` is told of each write that is about to happen, with the file's descriptor. */
  private apply(
    path: string,
    resources: OciResources,
    before?: (write: ResourceWrite, fd: number) => void,
  ): void {
    // Which devices may be opened only the host's root says: whoever has given the groups away has said it for all of them.
    const own = inUserNamespace() ? { ...resources, devices: [] } : resources;
    const writes = this.version === 1 ? v1Writes(own) : v2Writes(own);
    // The device rules are a dozen writes to the same file.
    let open: { key: string; fd: number } | undefined;
    try {
      for (const write of writes) {
        const key = `${write.controller}/${write.file}`;
        if (open !== undefined && open.key !== key) {
          closeSync(open.fd);
          open = undefined;
        }
        const fd = open?.fd ?? this.open(path, write);
        if (fd === undefined) continue;
        open = { key, fd };
        before?.(write, fd);
        this.write(path, fd, write);
      }
    } finally {
      if (open !== undefined) closeSync(open.fd);
    }
  }

  /**
   * Changes a running container's limits: only what `resources` names, and all of it or nothing. Throws a Fault "failed" when
   * the kernel refuses one. Gives what undoes it.
   */
  update(path: string, resources: OciResources): () => void {
    if (!this.there) return () => {};
    const undoing: ResourceWrite[] = [];
    const note = (write: ResourceWrite, fd: number) => {
      const buffer = Buffer.alloc(CONTROL_SIZE);
      const text = buffer.toString("utf8", 0, readSync(fd, buffer, 0, CONTROL_SIZE, 0));
      undoing.push({ ...write, value: undoingValue(write, text) });
    };
    const undo = () => {
      for (const write of undoing.splice(0).reverse()) {
        const fd = this.open(path, write);
        if (fd === undefined) continue;
        try {
          this.write(path, fd, write);
        } catch (error) {
          log.warn("a limit cannot be set back", { file: write.file, error: messageOf(error) });
        } finally {
          closeSync(fd);
        }
      }
    };
    try {
      this.updateMemory(path, resources, note);
      this.apply(path, resources, note);
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }

  /** What must come before a change of memory: room above, and a look at whether what is used fits in. */
  private updateMemory(
    path: string,
    { memory: { limit, swap } = {} }: OciResources,
    note: (write: ResourceWrite, fd: number) => void,
  ): void {
    if (this.version === 2) {
      // The kernel would kill for it instead of refusing. What it can throw away does not count.
      const { usage, reclaimable } = this.memoryUse(path);
      if (limit !== undefined && limit >= 0 && usage - reclaimable > limit)
        throw this.belowUse(path, limit);
      return;
    }
    if (limit === undefined || swap === undefined) return;
    // Memory may never be above memory and swap together, not for a moment: what grows is raised from above.
    const now = Number(this.control(path, "memory.memsw.limit_in_bytes"));
    if (swap < 0 || swap > now) this.apply(path, { memory: { swap } }, note);
  }

  /** A file of the memory controller. */
  private control(path: string, file: string): string {
    const root =
      this.version === 2
        ? this.unified
        : this.hierarchies.find((h) => h.controllers.includes("memory"))?.path;
    return root === undefined ? "" : readControl(`${root}${path}/${file}`);
  }

  private memoryUse(path: string): { usage: number; peak: number; reclaimable: number } {
    const [current, highest] =
      this.version === 2
        ? ["memory.current", "memory.peak"]
        : ["memory.usage_in_bytes", "memory.max_usage_in_bytes"];
    const usage = Number(this.control(path, current));
    const stat = this.control(path, "memory.stat");
    const files = [...stat.matchAll(/^(?:in)?active_file (\d+)$/gm)].map(([, size]) =>
      Number(size),
    );
    return {
      usage,
      peak: Number(this.control(path, highest)) || usage,
      reclaimable: files.reduce((sum, size) => sum + size, 0),
    };
  }

  private belowUse(path: string, limit: number, cause?: unknown): Error {
    const { usage, peak } = this.memoryUse(path);
    return fault(
      "failed",
      "memory-in-use",
      `unable to set memory limit to ${limit} (current usage: ${usage}, peak usage: ${peak})`,
      cause,
    );
  }

  /** The descriptor of a file that is to be written; undefined when the host lacks it and can do without. */
  private open(path: string, { controller, file, value, optional }: ResourceWrite) {
    const root =
      this.version === 2
        ? this.unified
        : this.hierarchies.find((h) => h.controllers.includes(controller))?.path;
    if (root === undefined) {
      if (optional) return undefined;
      throw lacking(controller, file);
    }
    try {
      return openSync(`${root}${path}/${file}`, "r+");
    } catch (error) {
      const missing = errnoOf(error) === "ENOENT";
      if (optional && missing) return undefined;
      if (missing && !this.has(controller)) throw lacking(controller, file);
      throw refused(file, value, error);
    }
  }

  private write(path: string, fd: number, { file, value }: ResourceWrite): void {
    try {
      writeSync(fd, value);
    } catch (error) {
      if (/^memory\.(memsw\.)?limit_in_bytes$/.test(file) && errnoOf(error) === "EBUSY")
        throw this.belowUse(path, Number(value), error);
      throw refused(file, value, error);
    }
  }

  /** What the cgroup has used; zeros for what the host does not count. */
  usage(path: string): CgroupUsage {
    if (!this.there) return usageV1(() => "");
    if (this.version === 2)
      return usageV2((_, file) => readControl(`${this.unified}${path}/${file}`));
    return usageV1((controller, file) => {
      const root = this.hierarchies.find((h) => h.controllers.includes(controller))?.path;
      return root === undefined ? "" : readControl(`${root}${path}/${file}`);
    });
  }

  /** How many processes of a cgroup have been killed for want of memory; 0 when that is not counted. */
  oomKills(path: string): number {
    if (!this.there) return 0;
    const memory = this.hierarchies.find((h) => h.controllers.includes("memory"));
    const file = memory
      ? `${memory.path}${path}/memory.oom_control`
      : `${this.unified}${path}/memory.events`;
    return Number(/^oom_kill (\d+)$/m.exec(readControl(file))?.[1] ?? 0);
  }

  /** The processes in a cgroup and below it; none when it is gone. */
  pids(path: string): number[] {
    if (!this.there) return [];
    const root = this.version === 2 ? this.unified : (this.hierarchies[0]?.path ?? "");
    return pidsBelow(root + path);
  }

  /** Sends SIGKILL to everything in the cgroup, in any hierarchy. */
  kill(path: string): void {
    this.thaw(path);
    const { roots } = this;
    const pids = new Set(roots.flatMap((root) => pidsBelow(root + path)));
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has gone by itself.
      }
    }
  }

  /** Removes a cgroup and what is below it. False while a dying process still holds it. */
  remove(path: string): boolean {
    const { roots } = this;
    const gone = roots.map((root) => removeTree(root + path)).every(Boolean);
    if (gone && this.made?.isOutside(path)) this.made.forget(path);
    return gone;
  }

  /** Containers' cgroups outside of berth's own group that are to be taken away some time. */
  get outside(): readonly string[] {
    return this.made?.leaves ?? [];
  }

  /** The names of the cgroups right below a parent, in any hierarchy. */
  children(parent: string): string[] {
    const { roots } = this;
    return [...new Set(roots.flatMap((root) => directories(root + parent)))];
  }

  /** Stops every process of the cgroup. */
  freeze(path: string): void {
    this.setFrozen(path, true);
  }

  /** Lets them run again; nothing if they do. */
  thaw(path: string): void {
    this.setFrozen(path, false);
  }

  /** Whether none of its processes runs; also when there are none. */
  isFrozen(path: string): boolean {
    const freezer = this.hierarchies.find((h) => h.controllers.includes("freezer"));
    const [file, word] =
      this.version === 2
        ? [`${this.unified}${path}/cgroup.events`, /^frozen 1$/m]
        : [`${freezer?.path ?? ""}${path}/freezer.state`, /^FROZEN$/m];
    try {
      return word.test(readFileSync(file, "utf8"));
    } catch {
      return true;
    }
  }

  private setFrozen(path: string, frozen: boolean): void {
    if (!this.there && !frozen) return;
    if (!this.there)
      throw fault(
        "unsupported",
        "no-own-cgroups",
        "cannot freeze: this daemon has no control groups of its own (docs/rootless.md)",
      );
    const freezer = this.hierarchies.find((h) => h.controllers.includes("freezer"));
    const file =
      this.version === 2
        ? `${this.unified}${path}/cgroup.freeze`
        : `${freezer?.path ?? ""}${path}/freezer.state`;
    const word = this.version === 2 ? String(Number(frozen)) : frozen ? "FROZEN" : "THAWED";
    try {
      writeFileSync(file, word);
    } catch (error) {
      if (frozen)
        throw fault("failed", "cgroup-freeze", `cannot freeze: ${messageOf(error)}`, error);
    }
  }
}
