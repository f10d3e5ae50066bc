/**
 * --ssh: agents of this side that a build's commands may speak with. They may ask for keys' names and for signatures, and
 * nothing else: a build neither adds keys to somebody's agent nor locks it.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, connectTo } from "../client/index.ts";

/** An agent as it was given. */
interface SshSource {
  readonly id: string;
  /** The agent's socket. */
  readonly socket?: string;
  /** Files of keys, for an agent that is made for the build. */
  readonly keys: readonly string[];
}

// The protocol's messages (draft-miller-ssh-agent).
const [FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST] = [5, 11, 13];
/** OpenSSH's own bound for a message. */
const MESSAGE_MAX = 256 << 10;

/** `default`, `ID=SOCKET`, `ID=KEY[,KEY]`. Throws an Error in buildx's words. */
export function sshSource(text: string): SshSource {
  const at = text.indexOf("=");
  const id = (at < 0 ? text : text.slice(0, at)) || "default";
  if (!/^[\w.-]+$/.test(id)) throw new Error(`invalid ssh id ${JSON.stringify(id)}`);
  const paths =
    at < 0
      ? []
      : text
          .slice(at + 1)
          .split(",")
          .filter(Boolean);
  const given = paths.length === 0 ? [process.env.SSH_AUTH_SOCK ?? ""] : paths;
  if (given[0] === "")
    throw new Error("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  for (const path of given)
    if (!existsSync(path)) throw new Error(`failed to open ${path}: no such file or directory`);
  const [first = ""] = given;
  const isSocket = statSync(first).isSocket();
  if (isSocket && given.length > 1)
    throw new Error(`only single socket allowed for ssh id ${id}: ${given.join(",")}`);
  return isSocket ? { id, socket: first, keys: [] } : { id, keys: given };
}

/** Reads whole messages: a length, and so many bytes. */
class Messages {
  private held: Uint8Array = new Uint8Array();

  constructor(private readonly connection: Connection) {}

  /** The next one with its length; undefined at the end. Throws for one that is longer than any is. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const { held } = this;
      const length =
        held.length < 4 ? undefined : new DataView(held.buffer, held.byteOffset).getUint32(0);
      if (length !== undefined && (length === 0 || length > MESSAGE_MAX))
        throw new Error(`a message of ${length} bytes is none of an agent's`);
      if (length !== undefined && held.length >= 4 + length) {
        this.held = held.subarray(4 + length);
        return held.subarray(0, 4 + length);
      }
      const more = await this.connection.read();
      if (more === undefined) return undefined;
      this.held = Buffer.concat([held, more]);
    }
  }
}

/** An agent with keys of files, which ends with this process. */
class OwnAgent {
  readonly directory = mkdtempSync(join(tmpdir(), "berth-agent-"));
  readonly socket = join(this.directory, "agent");
  private readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;

  constructor(private readonly keys: readonly string[]) {
    // Its command ends it with the end of its own input, even if this process is killed.
    const script = 'ssh-add "$@" </dev/null && echo ready && cat; kill "$SSH_AGENT_PID"';
    const argv = ["ssh-agent", "-a", this.socket, "sh", "-c", script, "sh", ...keys];
    const env = { ...process.env, SSH_ASKPASS_REQUIRE: "never", DISPLAY: "" };
    this.child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "pipe", env });
  }

  async ready(): Promise<void> {
    const { value } = await this.child.stdout.getReader().read();
    if (value !== undefined) return;
    const why = (await this.child.stderr.text()).trim().split("\n").at(-1) ?? "";
    throw new Error(`failed to add ${this.keys.join(", ")} to an agent: ${why}`);
  }

  async close(): Promise<void> {
    this.child.stdin.end();
    await this.child.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The agents of one build. */
export class SshAgents {
  private readonly sockets = new Map<string, string>();
  private readonly own: OwnAgent[] = [];

  private constructor() {}

  /** Starts what has to be started. Rejects with what is wrong with a key. */
  static async start(texts: readonly string[]): Promise<SshAgents> {
    const agents = new SshAgents();
    try {
      for (const { id, socket, keys } of texts.map(sshSource)) {
        if (agents.sockets.has(id)) throw new Error(`invalid duplicate ssh id ${id}`);
        agents.sockets.set(id, socket ?? (await agents.withKeys(keys)));
      }
      return agents;
    } catch (error) {
      await agents.close();
      throw error;
    }
  }

  private async withKeys(keys: readonly string[]): Promise<string> {
    let agent: OwnAgent;
    try {
      agent = new OwnAgent(keys);
    } catch (error) {
      throw new Error("keys need ssh-agent on this host: give an agent's socket", { cause: error });
    }
    this.own.push(agent);
    await agent.ready();
    return agent.socket;
  }

  get ids(): string[] {
    return [...this.sockets.keys()];
  }

  /** Passes on what a build may ask, one after the other, until either side ends. */
  async serve(id: string, client: Connection): Promise<void> {
    const socket = this.sockets.get(id);
    let agent: Connection | undefined;
    try {
      if (socket === undefined) return;
      agent = await connectTo(socket);
      const [asked, answered] = [new Messages(client), new Messages(agent)];
      for (let one = await asked.next(); one !== undefined; one = await asked.next()) {
        const type = one[4];
        if (type !== REQUEST_IDENTITIES && type !== SIGN_REQUEST) {
          await client.write(new Uint8Array([0, 0, 0, 1, FAILURE]));
          continue;
        }
        await agent.write(one);
        const answer = await answered.next();
        if (answer === undefined) return;
        await client.write(answer);
      }
    } catch {
      // Whoever has asked sees the end of the connection.
    } finally {
      agent?.close();
      client.close();
    }
  }

  async close(): Promise<void> {
    for (const agent of this.own.splice(0)) await agent.close();
  }
}
