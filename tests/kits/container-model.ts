/**
 * What containers do, as a small pure machine: for each call the status that comes back, the events that are told, in
 * order, and how the containers stand when everything has settled. Nothing here knows a daemon.
 */

/** What a container runs. "sleeper" ends by SIGKILL only, "polite" by TERM (3) and USR1 (4), "short" at once by itself (7). */
export type Program = "sleeper" | "polite" | "short" | "missing";
/** A restart policy; on-failure is on-failure:2. */
export type Policy = "no" | "always" | "unless-stopped" | "on-failure";
/** "looping": its policy starts it again and again; at any moment it runs or waits for its next run. */
export type ModelStatus = "created" | "running" | "paused" | "exited" | "looping";

/** A container. */
export interface Modelled {
  program: Program;
  policy: Policy;
  readonly autoRemove: boolean;
  status: ModelStatus;
  /** What its exit code may be. */
  codes: readonly number[];
  restartCount: number;
  /** How often it has begun; each time it says so in its log. */
  starts: number;
  /** A user has sent it a signal since its start. */
  byUser: boolean;
  /** A user has asked this run to end; no daemon but this one knows. */
  stopping: boolean;
}

/** A call; `name` is the container's. */
export type Call =
  | {
      readonly kind: "create";
      readonly name: string;
      readonly program: Program;
      readonly policy: Policy;
      readonly autoRemove: boolean;
    }
  | {
      readonly kind:
        | "start"
        | "startTwice"
        | "stop"
        | "restart"
        | "pause"
        | "unpause"
        | "exec"
        | "wait"
        | "logs"
        | "killInit"
        | "killShim";
      readonly name: string;
    }
  | {
      readonly kind: "kill";
      readonly name: string;
      readonly signal: "KILL" | "TERM" | "USR1" | "HUP";
    }
  | { readonly kind: "remove"; readonly name: string; readonly force: boolean }
  | { readonly kind: "rename"; readonly name: string; readonly to: string }
  | { readonly kind: "update"; readonly name: string; readonly policy: Policy }
  | GeneralCall;
/** A call that is about no container of its own. */
export interface GeneralCall {
  readonly kind: "prune" | "killDaemon" | "stopDaemon";
}
type NamedCall = Exclude<Call, GeneralCall>;

/** What is foretold of a call. */
export interface Foretold {
  /** The HTTP status; 0: no request is made. */
  readonly status: number;
  /** What the message says. */
  readonly message?: RegExp;
  /** "name action" or "name action code", in order for each name. Undefined: cannot be known. */
  readonly events: readonly string[];
}

const MAX_RETRIES = 2;
const SHORT_CODE = 7;
const KILLED = 137;

/** All containers by name. */
export class World {
  readonly containers = new Map<string, Modelled>();
  private events: string[] = [];

  /** What would follow from a call; the world is then as it is after it. Undefined: it cannot be known, so do not call. */
  foretell(call: Call): Foretold | undefined {
    this.events = [];
    const outcome = this.outcome(call);
    return outcome === undefined ? undefined : { ...outcome, events: this.events };
  }

  private tell(name: string, action: string): void {
    this.events.push(`${name} ${action}`);
  }

  private outcome(call: Call): Omit<Foretold, "events"> | undefined {
    if (!("name" in call)) return call.kind === "prune" ? this.prune() : this.newDaemon();
    if (call.kind === "create") return this.create(call);
    const container = this.containers.get(call.name);
    const special = ["killInit", "killShim", "startTwice"].includes(call.kind);
    if (container === undefined)
      return special ? undefined : { status: 404, message: /No such container: / };
    switch (call.kind) {
      case "start":
        return this.start(call.name, container);
      case "startTwice":
        return container.program === "polite" && isStopped(container)
          ? this.start(call.name, container)
          : undefined;
      case "stop":
        return this.stop(call.name, container);
      case "restart":
        return this.restart(call.name, container);
      case "kill":
        return this.kill(call.name, container, call.signal);
      case "killInit":
      case "killShim":
        return this.killFromOutside(call.name, container, call.kind);
      case "remove":
        return this.remove(call.name, container, call.force);
      case "rename":
        return this.rename(call.name, call.to, container);
      default:
        return this.others(call, container);
    }
  }

  private others(call: NamedCall, container: Modelled): Omit<Foretold, "events"> | undefined {
    const { status } = container;
    switch (call.kind) {
      case "pause":
        if (status === "looping") return undefined;
        if (status === "paused") return { status: 409, message: /is already paused$/ };
        if (status !== "running") return { status: 409, message: /is not running$/ };
        container.status = "paused";
        this.tell(call.name, "pause");
        return { status: 204 };
      case "unpause":
        if (status !== "paused") return { status: 409, message: /is not paused$/ };
        container.status = "running";
        this.tell(call.name, "unpause");
        return { status: 204 };
      case "exec":
        if (status === "looping") return undefined;
        if (status === "paused")
          return { status: 409, message: /is paused, unpause the container before exec$/ };
        if (status !== "running") return { status: 409, message: /is not running$/ };
        for (const action of ["exec_create", "exec_start", "exec_die 5"])
          this.tell(call.name, action);
        return { status: 201 };
      case "wait":
        return isStopped(container) ? { status: 200 } : undefined;
      case "logs":
        return status === "looping" ? undefined : { status: 200 };
      case "update":
        return status === "looping" ? undefined : this.update(call.name, container, call.policy);
      default:
        return undefined;
    }
  }

  private create({
    name,
    program,
    policy,
    autoRemove,
  }: Call & { kind: "create" }): Omit<Foretold, "events"> {
    if (this.containers.has(name))
      return { status: 409, message: /is already in use by container/ };
    this.containers.set(name, {
      ...{ program, policy, autoRemove, status: "created", codes: [0] },
      ...{ restartCount: 0, starts: 0, byUser: false, stopping: false },
    });
    this.tell(name, "create");
    return { status: 201 };
  }

  private start(name: string, container: Modelled): Omit<Foretold, "events"> {
    const { status } = container;
    if (status === "paused") return { status: 409, message: /^cannot start a paused container/ };
    if (status === "running" || status === "looping") return { status: 304 };
    container.restartCount = 0;
    if (container.program === "missing") {
      container.codes = [127];
      if (container.autoRemove) this.destroy(name);
      return { status: 400, message: /executable file not found in \$PATH/ };
    }
    this.begin(name, container);
    return { status: 204 };
  }

  /** It runs from now on, and ends at once if that is its nature. */
  private begin(name: string, container: Modelled): void {
    Object.assign(container, { status: "running", codes: [0], byUser: false, stopping: false });
    container.starts++;
    this.tell(name, "start");
    if (container.program === "short") this.end(name, container, SHORT_CODE);
  }

  private end(name: string, container: Modelled, code: number): void {
    Object.assign(container, { status: "exited", codes: [code] });
    this.tell(name, `die ${code}`);
    if (container.autoRemove) this.destroy(name);
    else if (!container.stopping && this.policyHolds(container)) {
      container.restartCount++;
      const forever = container.policy !== "on-failure";
      if (container.program === "short" && forever) container.status = "looping";
      else this.begin(name, container);
    }
  }

  private policyHolds({ policy, byUser, codes, restartCount }: Modelled): boolean {
    if (policy === "on-failure") return codes[0] !== 0 && restartCount < MAX_RETRIES;
    return policy === "always" || (policy === "unless-stopped" && !byUser);
  }

  private destroy(name: string): void {
    this.tell(name, "destroy");
    this.containers.delete(name);
  }

  private stop(name: string, container: Modelled): Omit<Foretold, "events"> {
    const { program, status } = container;
    if (isStopped(container)) return { status: 304 };
    Object.assign(container, { byUser: true, stopping: true });
    if (status === "looping") {
      Object.assign(container, { status: "exited", codes: [SHORT_CODE] });
      return { status: 204 };
    }
    this.tell(name, "kill 15");
    if (status === "paused") this.tell(name, "unpause");
    if (program === "sleeper") this.tell(name, "kill 9");
    this.end(name, container, program === "polite" ? 3 : KILLED);
    this.tell(name, "stop");
    return { status: 204 };
  }

  private restart(name: string, container: Modelled): Omit<Foretold, "events"> | undefined {
    // Whether its end or the restart is told first cannot be known.
    if (container.program === "short") return undefined;
    const kept = { ...container, autoRemove: false };
    if (!isStopped(kept)) this.stop(name, kept);
    const { status, message } = this.start(name, kept);
    if (status >= 400) {
      if (container.autoRemove) this.destroy(name);
      else this.containers.set(name, kept);
      return { status, ...(message && { message }) };
    }
    this.tell(name, "restart");
    this.containers.set(name, { ...kept, autoRemove: container.autoRemove });
    return { status: 204 };
  }

  private kill(
    name: string,
    container: Modelled,
    signal: string,
  ): Omit<Foretold, "events"> | undefined {
    if (isStopped(container))
      return { status: 409, message: /^cannot kill container: .* is not running$/i };
    const ends = signal === "KILL" || signal === "TERM";
    if (container.status === "looping") {
      if (!ends) return undefined;
      Object.assign(container, { status: "exited", byUser: true, stopping: true });
      container.codes = signal === "KILL" ? [SHORT_CODE, KILLED] : [SHORT_CODE];
      return { status: 204 };
    }
    container.byUser = true;
    container.stopping ||= ends;
    this.tell(name, `kill ${{ KILL: 9, TERM: 15, USR1: 10, HUP: 1 }[signal]}`);
    if (container.status === "paused" && signal !== "KILL") this.tell(name, "unpause");
    container.status = "running";
    const code = { KILL: KILLED, TERM: 3, USR1: 4, HUP: undefined }[signal];
    if (code !== undefined && (signal === "KILL" || container.program === "polite"))
      this.end(name, container, code);
    return { status: 204 };
  }

  private killFromOutside(
    name: string,
    container: Modelled,
    kind: string,
  ): Omit<Foretold, "events"> | undefined {
    // Whoever is frozen by a version-1 freezer does not die.
    if (container.status !== "running" && !(kind === "killShim" && container.status === "paused"))
      return undefined;
    this.end(name, container, KILLED);
    return { status: 0 };
  }

  private remove(name: string, container: Modelled, force: boolean): Omit<Foretold, "events"> {
    if (!isStopped(container)) {
      if (!force) return { status: 409, message: /^cannot remove container / };
      container.stopping = true;
      if (container.status !== "looping") {
        this.tell(name, "kill 9");
        this.tell(name, `die ${KILLED}`);
      }
    }
    this.destroy(name);
    return { status: 204 };
  }

  private rename(name: string, to: string, container: Modelled): Omit<Foretold, "events"> {
    if (name === to) return { status: 400, message: /^Renaming a container with the same name/ };
    if (this.containers.has(to)) return { status: 409, message: /is already in use by container/ };
    this.containers.delete(name);
    this.containers.set(to, container);
    this.tell(to, "rename");
    return { status: 204 };
  }

  private update(name: string, container: Modelled, policy: Policy): Omit<Foretold, "events"> {
    if (container.autoRemove && policy !== "no")
      return { status: 409, message: /because AutoRemove is enabled/ };
    container.policy = policy;
    this.tell(name, "update");
    return { status: 200 };
  }

  private prune(): Omit<Foretold, "events"> {
    for (const [name, container] of [...this.containers])
      if (isStopped(container)) this.destroy(name);
    return { status: 200 };
  }

  /** What a policy wants to run, a daemon starts at its own start; what runs goes on. */
  private newDaemon(): Omit<Foretold, "events"> {
    for (const [name, container] of this.containers) {
      container.stopping = false;
      if (container.status !== "exited" || !this.policyHolds(container)) continue;
      if (container.policy === "on-failure" && container.byUser) continue;
      const forever = container.program === "short" && container.policy !== "on-failure";
      if (forever) container.status = "looping";
      else this.begin(name, container);
    }
    return { status: 0 };
  }
}

/** It does not run, and will not by itself. */
export function isStopped({ status }: Modelled): boolean {
  return status === "created" || status === "exited";
}
