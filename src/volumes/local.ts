/**
 * The records of volumes in SQLite, who uses them, and the directories of the local driver.
 */
import type { Database } from "bun:sqlite";
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Filling } from "./filling.ts";
import { mountPoints } from "./mount-points.ts";
import { checkLocalOptions } from "./options.ts";

/** A volume to be. */
export interface NewVolume {
  readonly name?: string | undefined;
  readonly driver?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly options?: Readonly<Record<string, string>> | undefined;
  /** A container that uses it from the first moment on. */
  readonly user?: string | undefined;
}

/** A volume's record. Times in milliseconds since 1970. */
export interface VolumeRecord {
  readonly name: string;
  /** "local", or a plugin. */
  readonly driver: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly created: number;
  /** Where its content lies on the host; empty for a plugin's, which says so when it is mounted. */
  readonly mountpoint: string;
}

interface Row {
  readonly name: string;
  readonly driver: string;
  readonly labels: string;
  readonly options: string;
  readonly created: number;
}

/** What the directory of a volume that is being removed is called, before its name. */
const GRAVE = ".removed-";
/** The same for one that is being gathered, and one that is whole but for its row. */
const STAGED = ".copying-";
const WHOLE = ".copied-";
const ANONYMOUS = "com.docker.volume.anonymous";
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Throws a Fault "invalid" in Docker's words. */
function checkName(name: string): void {
  if (name.length === 1)
    throw fault(
      "invalid",
      "volume-name",
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  if (!NAME.test(name) || name.length > 255)
    throw fault(
      "invalid",
      "volume-name",
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
}

/** The volumes of one data root. */
export class VolumeStore {
  constructor(
    private readonly root: string,
    private readonly db: Database,
  ) {
    mkdirSync(root, { recursive: true, mode: 0o701 });
    db.run(
      "CREATE TABLE IF NOT EXISTS volumes (name TEXT PRIMARY KEY, labels TEXT, options TEXT, created INTEGER)",
    );
    db.run(
      "CREATE TABLE IF NOT EXISTS volume_users (volume TEXT, container TEXT, PRIMARY KEY (volume, container))",
    );
    db.run(
      "CREATE TABLE IF NOT EXISTS volume_mounts (volume TEXT, user TEXT, PRIMARY KEY (volume, user))",
    );
    const columns = db.query<{ name: string }, []>("PRAGMA table_info(volumes)").all();
    if (!columns.some(({ name }) => name === "driver"))
      db.run("ALTER TABLE volumes ADD COLUMN driver TEXT NOT NULL DEFAULT 'local'");
  }

  /** The name that a volume gets, and its labels. Throws a Fault "invalid" in Docker's words. */
  checked(input: NewVolume): { name: string; labels: Readonly<Record<string, string>> } {
    const { labels = {} } = input;
    const anonymous = !input.name;
    const name = input.name || anonymousName();
    checkName(name);
    if ((input.driver || "local") === "local") checkLocalOptions(name, input.options ?? {});
    return { name, labels: anonymous ? { [ANONYMOUS]: "", ...labels } : labels };
  }

  /** Makes a volume, or gives the existing one of that name. Throws Faults in Docker's words. */
  create(input: NewVolume): VolumeRecord {
    const { name, labels } = this.checked(input);
    if (this.find(name) !== undefined) {
      if (input.user !== undefined) this.acquire(name, input.user);
      return this.get(name);
    }
    const driver = input.driver || "local";
    if (driver === "local")
      mkdirSync(`${this.root}/${name}/_data`, { recursive: true, mode: 0o755 });
    // Together: a daemon that is killed in between leaves no volume that nobody can explain.
    this.db.transaction(() => {
      this.insert(name, driver, labels, input.options ?? {});
      if (input.user !== undefined) this.acquire(name, input.user);
    })();
    return this.get(name);
  }

  /** Throws a Fault "not-found". */
  get(name: string): VolumeRecord {
    const found = this.find(name);
    if (found === undefined)
      throw fault("not-found", "no-such-volume", `get ${name}: no such volume`);
    return found;
  }

  /** The volume, or undefined. */
  find(name: string): VolumeRecord | undefined {
    const row = this.db.query<Row, [string]>("SELECT * FROM volumes WHERE name = ?").get(name);
    return row === null ? undefined : this.record(row);
  }

  list(): VolumeRecord[] {
    return this.db
      .query<Row, []>("SELECT * FROM volumes ORDER BY name")
      .all()
      .map((row) => this.record(row));
  }

  /** Containers that use it. */
  users(name: string): string[] {
    const rows = this.db
      .query<{ container: string }, [string]>("SELECT container FROM volume_users WHERE volume = ?")
      .all(name);
    return rows.map((row) => row.container);
  }

  /** Notes that a container uses a volume; it survives restarts. */
  acquire(name: string, container: string): void {
    this.db.run("INSERT OR IGNORE INTO volume_users VALUES (?, ?)", [name, container]);
  }

  /** Forgets all uses by a container; gives the volumes that it used. */
  releaseAll(container: string): string[] {
    const rows = this.db
      .query<{ volume: string }, [string]>(
        "DELETE FROM volume_users WHERE container = ? RETURNING volume",
      )
      .all(container);
    return rows.map((row) => row.volume);
  }

  /**
   * Forgets uses by a container of all volumes but these. Of those that it lets go, anonymous ones that nobody uses and nothing
   * has been put into are removed.
   */
  retain(container: string, names: ReadonlySet<string>): void {
    const used = this.db
      .query<{ volume: string }, [string]>("SELECT volume FROM volume_users WHERE container = ?")
      .all(container);
    for (const { volume } of used) {
      if (names.has(volume)) continue;
      this.db.run("DELETE FROM volume_users WHERE volume = ? AND container = ?", [
        volume,
        container,
      ]);
      if (this.isAnonymous(volume)) this.forget(volume);
    }
  }

  /** Notes that somebody has a volume mounted, or is about to. */
  noteMount(name: string, user: string): void {
    this.db.run("INSERT OR IGNORE INTO volume_mounts VALUES (?, ?)", [name, user]);
  }

  /** Forgets it. */
  forgetMount(name: string, user: string): void {
    this.db.run("DELETE FROM volume_mounts WHERE volume = ? AND user = ?", [name, user]);
  }

  /** Who has a volume mounted. */
  mountUsers(name: string): string[] {
    const query = "SELECT user FROM volume_mounts WHERE volume = ?";
    return this.db
      .query<{ user: string }, [string]>(query)
      .all(name)
      .map(({ user }) => user);
  }

  /** What somebody has mounted. */
  mountsOf(user: string): string[] {
    const query = "SELECT volume FROM volume_mounts WHERE user = ?";
    return this.db
      .query<{ volume: string }, [string]>(query)
      .all(user)
      .map(({ volume }) => volume);
  }

  /** Everybody who has something mounted. */
  allMountUsers(): string[] {
    const query = "SELECT DISTINCT user FROM volume_mounts";
    return this.db
      .query<{ user: string }, []>(query)
      .all()
      .map(({ user }) => user);
  }

  /** Removes a volume that nobody uses and nothing has been put into; leaves any other. */
  forget(name: string): void {
    if (this.find(name) !== undefined && this.users(name).length === 0 && this.isEmpty(name))
      this.remove(name);
  }

  /** True for a volume that was made for a container without a name. */
  isAnonymous(name: string): boolean {
    return this.find(name)?.labels[ANONYMOUS] !== undefined;
  }

  /** Throws a Fault "conflict" while a container uses it, or anybody has it mounted. */
  checkUnused(name: string): void {
    const users = [...new Set([...this.users(name), ...this.mountUsers(name)])];
    if (users.length > 0)
      throw fault(
        "conflict",
        "volume-in-use",
        `remove ${name}: volume is in use - [${users.join(", ")}]`,
      );
  }

  /** Removes a volume and its content. Throws a Fault "conflict" while a container uses it. */
  remove(name: string, force = false): void {
    if (this.find(name) === undefined) {
      if (force) return;
      throw fault("not-found", "no-such-volume", `get ${name}: no such volume`);
    }
    this.checkUnused(name);
    const directory = `${this.root}/${name}`;
    // Whatever has been mounted there is not the volume's to delete.
    const mounted = mountPoints().find((path) => path.startsWith(`${directory}/`));
    if (mounted !== undefined)
      throw fault("conflict", "volume-in-use", `remove ${name}: ${mounted} is mounted`);
    const grave = `${this.root}/${GRAVE}${name}`;
    if (existsSync(directory)) renameSync(directory, grave);
    this.db.run("DELETE FROM volumes WHERE name = ?", [name]);
    rmSync(grave, { recursive: true, force: true });
  }

  /** Throws a Fault "conflict" when there is a volume of that name, or something in its place. */
  checkFree(name: string): void {
    if (this.find(name) !== undefined || existsSync(`${this.root}/${name}`))
      throw fault("conflict", "volume-exists", `create ${name}: there is a volume of that name`);
  }

  /** A directory for a volume to be, which goes with this daemon unless it is adopted; its "_data" is made on demand. */
  stage(withData = false): string {
    const path = `${this.root}/${STAGED}${crypto.randomUUID()}`;
    mkdirSync(withData ? `${path}/_data` : path, { recursive: true, mode: 0o755 });
    return path;
  }

  /** Takes a staged directory away; fine if it has been adopted. */
  unstage(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  /** Makes a staged directory, with all that is in it, a volume. Throws a Fault "conflict" when there is one of its name. */
  adopt(staged: string, input: NewVolume & { readonly name: string }): void {
    const { name, labels } = this.checked(input);
    this.checkFree(name);
    const whole = `${this.root}/${WHOLE}${name}`;
    renameSync(staged, whole);
    this.insert(name, "local", labels, {});
    renameSync(whole, `${this.root}/${name}`);
  }

  private insert(
    name: string,
    driver: string,
    labels: Readonly<Record<string, string>>,
    options: Readonly<Record<string, string>>,
  ): void {
    this.db.run(
      "INSERT INTO volumes (name, driver, labels, options, created) VALUES (?, ?, ?, ?, ?)",
      [name, driver, JSON.stringify(labels), JSON.stringify(options), Date.now()],
    );
  }

  /** Removes what a crash left of removals, and uses that are none. `uses`: the volumes of each container. */
  sweep(uses: ReadonlyMap<string, ReadonlySet<string>>): void {
    this.finishRemovals();
    this.finishCopies();
    const rows = this.db
      .query<{ container: string }, []>("SELECT DISTINCT container FROM volume_users")
      .all();
    for (const { container } of rows) {
      const names = uses.get(container);
      if (names !== undefined) {
        this.retain(container, names);
        continue;
      }
      // Its creation was never finished: anonymous volumes that were made for it go too.
      for (const name of this.releaseAll(container))
        if (this.isAnonymous(name) && this.users(name).length === 0) this.remove(name);
    }
    const known = new Set(this.list().map((volume) => volume.name));
    for (const name of known) this.finishFilling(name);
    for (const entry of readdirSync(this.root)) {
      if (known.has(entry)) continue;
      // What nobody has put anything into is the rest of a creation. Anything else may be all that is left of somebody's data.
      if (isEmptyTree(`${this.root}/${entry}`))
        rmSync(`${this.root}/${entry}`, { recursive: true });
      else
        log.warn("a directory among the volumes that is none of them is left alone", {
          path: `${this.root}/${entry}`,
          advice: `"berth volume create ${entry}" makes it a volume`,
        });
    }
  }

  /** One volume that is broken keeps nobody from starting: its content stays where it was gathered. */
  private finishFilling(name: string): void {
    try {
      this.filling(name).finish();
    } catch (error) {
      log.warn("a volume's first content cannot be moved into it", {
        name,
        error: messageOf(error),
        advice: `it is in ${this.root}/${name}/_filled; the next start of the daemon tries again`,
      });
    }
  }

  /** A copy that was whole is a volume if its row came to be; any other was broken off. */
  private finishCopies(): void {
    for (const entry of readdirSync(this.root)) {
      const name = entry.startsWith(WHOLE) ? entry.slice(WHOLE.length) : "";
      if (name !== "" && this.find(name) !== undefined && !existsSync(`${this.root}/${name}`))
        renameSync(`${this.root}/${entry}`, `${this.root}/${name}`);
      else if (name !== "" || entry.startsWith(STAGED))
        rmSync(`${this.root}/${entry}`, { recursive: true, force: true });
    }
  }

  private finishRemovals(): void {
    for (const entry of readdirSync(this.root)) {
      if (!entry.startsWith(GRAVE)) continue;
      const name = entry.slice(GRAVE.length);
      if (mountPoints().some((path) => path.startsWith(`${this.root}/${entry}/`))) continue;
      // The daemon died between the renaming and the row's end.
      if (!existsSync(`${this.root}/${name}`))
        this.db.run("DELETE FROM volumes WHERE name = ?", [name]);
      rmSync(`${this.root}/${entry}`, { recursive: true, force: true });
    }
  }

  /** Makes a volume's directory where it is missing; false if it was there. What it held is lost. */
  restoreDirectory(name: string): boolean {
    const { mountpoint, driver } = this.get(name);
    if (driver !== "local" || existsSync(mountpoint)) return false;
    mkdirSync(mountpoint, { recursive: true, mode: 0o755 });
    return true;
  }

  /** True when nothing has been put into it yet. */
  isEmpty(name: string): boolean {
    const { mountpoint, driver } = this.get(name);
    // Only a plugin knows what is in its volumes.
    if (driver !== "local") return false;
    return (
      lstatSync(mountpoint, { throwIfNoEntry: false }) === undefined ||
      readdirSync(mountpoint).length === 0
    );
  }

  /** The volume's being filled with what an image has in its place. */
  filling(name: string): Filling {
    return new Filling(`${this.root}/${name}`);
  }

  private record(row: Row): VolumeRecord {
    return {
      name: row.name,
      driver: row.driver,
      labels: JSON.parse(row.labels) as Record<string, string>,
      options: JSON.parse(row.options) as Record<string, string>,
      created: row.created,
      mountpoint: row.driver === "local" ? `${this.root}/${row.name}/_data` : "",
    };
  }
}

/** True for directories in directories and nothing else. */
function isEmptyTree(path: string): boolean {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (info === undefined) return true;
  return info.isDirectory() && readdirSync(path).every((name) => isEmptyTree(`${path}/${name}`));
}

function anonymousName(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
}
