/**
 * The containers by id, name and short id.
 */
import { fault } from "../base/errors.ts";
import type { Container } from "./container.ts";

/** The refusal of a reference to nothing. */
export function noSuchContainer(reference: string): Error {
  return fault("not-found", "no-such-container", `No such container: ${reference}`);
}

/** How many containers that have gone by themselves are remembered. */
const GONE_MAX = 128;

/** All containers of this daemon. */
export class ContainerRegistry {
  private readonly ending = new Set<Promise<void>>();
  private readonly byId = new Map<string, Container>();
  private readonly byName = new Map<string, Container>();
  /** The last ones that removed themselves (--rm), oldest first. */
  private readonly gone = new Map<string, Container>();

  add(container: Container): void {
    this.byId.set(container.id, container);
    this.byName.set(container.record.name, container);
  }

  delete(container: Container): void {
    this.byId.delete(container.id);
    if (this.byName.get(container.record.name) === container)
      this.byName.delete(container.record.name);
    if (container.record.hostConfig.AutoRemove !== true) return;
    this.gone.set(container.id, container);
    const [oldest = ""] = this.gone.keys();
    if (this.gone.size > GONE_MAX) this.gone.delete(oldest);
  }

  /**
   * A container, by its whole id, that removed itself a moment ago: a client that starts one and asks for its exit status
   * then must not come too late.
   */
  findGone(id: string): Container | undefined {
    return this.gone.get(id);
  }

  /** Gives a container another name; the caller has checked that it is free. */
  rename(container: Container, name: string): void {
    this.byName.delete(container.record.name);
    container.record.name = name;
    this.byName.set(name, container);
  }

  named(name: string): Container | undefined {
    return this.byName.get(name);
  }

  /** Throws a Fault "conflict" in Docker's words when the name is taken. */
  checkFree(name: string): void {
    const other = this.byName.get(name);
    if (other !== undefined)
      throw fault(
        "conflict",
        "name-in-use",
        `Conflict. The container name "/${name}" is already in use by container "${other.id}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
  }

  /** The same as `get`, but gives undefined when there is none. */
  lookUp(reference: string): Container | undefined {
    try {
      return this.get(reference);
    } catch {
      return undefined;
    }
  }

  /** By "linking/alias". */
  private byLink(reference: string): Container | undefined {
    const [name = "", alias] = reference.replace(/^\//, "").split("/");
    const links = alias === undefined ? undefined : this.byName.get(name)?.record.links;
    return this.byId.get(links?.find((link) => link.alias === alias)?.id ?? "");
  }

  /** Finds by whole id, name or unambiguous beginning of an id. Throws a Fault "not-found" in Docker's words. */
  get(reference: string): Container {
    const exact =
      this.byId.get(reference) ??
      this.byName.get(reference.replace(/^\//, "")) ??
      this.byLink(reference);
    if (exact !== undefined) return exact;
    if (/^[0-9a-f]{1,63}$/.test(reference)) {
      let found: Container | undefined;
      for (const [id, container] of this.byId) {
        if (!id.startsWith(reference)) continue;
        if (found !== undefined)
          throw fault(
            "invalid",
            "id-ambiguous",
            `multiple IDs found with provided prefix: ${reference}`,
          );
        found = container;
      }
      if (found !== undefined) return found;
    }
    throw noSuchContainer(reference);
  }

  /** The container whose network another joins (--network container:NAME), and whose name and files it has then. */
  networkHolder({ hostConfig: { NetworkMode = "" } }: Container["record"]): Container | undefined {
    return NetworkMode.startsWith("container:") ? this.lookUp(NetworkMode.slice(10)) : undefined;
  }

  /** Finds by whole id only. */
  find(id: string): Container | undefined {
    return this.byId.get(id);
  }

  all(): Container[] {
    return [...this.byId.values()];
  }

  /** Remembers what goes on after a container's end, for `settled`. */
  track(work: Promise<void>): Promise<void> {
    this.ending.add(work);
    return work.finally(() => this.ending.delete(work));
  }

  /** Resolves when nothing of an ended container is being taken away. */
  async settled(): Promise<void> {
    while (this.ending.size > 0) await Promise.allSettled(this.ending);
  }
}
