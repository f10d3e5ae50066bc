/**
 * Programs of others that Docker's plugin protocol speaks to: JSON over a socket. How one is found, and asked.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { messageOf } from "./errors.ts";

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.2+json";
/** A plugin that has to reach a server may take its time; one that says nothing at all is given up. */
const CALL_MS = 120_000;
/** A plugin that is being restarted is waited for. */
const TRIES = 4;
const TRY_AGAIN_MS = 250;
const ANSWER_MAX = 4 << 20;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Where plugins are looked for, in this order. */
export interface PluginPlaces {
  readonly sockets: readonly string[];
  readonly specs: readonly string[];
}

/** Docker's own places. */
export const dockerPlaces: PluginPlaces = {
  sockets: ["/run/docker/plugins"],
  specs: ["/etc/docker/plugins", "/usr/lib/docker/plugins"],
};

interface Address {
  readonly url: string;
  readonly unix?: string;
  readonly tls?: {
    readonly rejectUnauthorized: boolean;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
}

/** A text, or "" for what is none. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** An object, or an empty one for what is none. */
export function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** "unix:///path", "tcp://host:port", as files say it. */
function parseAddress(address: string, tls?: Address["tls"]): Address {
  const { protocol, host, pathname } = new URL(address);
  if (protocol === "unix:") return { url: "http://plugin", unix: pathname };
  if (protocol !== "tcp:" || host === "")
    throw new Error(`the address ${address} is none of a plugin`);
  return tls === undefined ? { url: `http://${host}` } : { url: `https://${host}`, tls };
}

function parseJson(content: string): Address {
  const { Addr, TLSConfig } = object(JSON.parse(content));
  if (TLSConfig === undefined || TLSConfig === null) return parseAddress(text(Addr));
  const { CAFile, CertFile, KeyFile, InsecureSkipVerify } = object(TLSConfig);
  const read = (name: "ca" | "cert" | "key", path: unknown) =>
    text(path) === "" ? {} : { [name]: readFileSync(text(path), "utf8") };
  return parseAddress(text(Addr), {
    rejectUnauthorized: InsecureSkipVerify !== true,
    ...read("ca", CAFile),
    ...read("cert", CertFile),
    ...read("key", KeyFile),
  });
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    // Not there, or in a directory of root's, which a user's daemon may not look into.
    return false;
  }
}

function notFound(name: string): Error {
  return new Error(`plugin "${name}" not found`);
}

/** Where a plugin answers. */
function locate(places: PluginPlaces, name: string): Address {
  if (!NAME.test(name)) throw notFound(name);
  for (const directory of places.sockets)
    for (const path of [`${directory}/${name}.sock`, `${directory}/${name}/${name}.sock`])
      if (isSocket(path)) return { url: "http://plugin", unix: path };
  for (const directory of places.specs)
    for (const base of [`${directory}/${name}`, `${directory}/${name}/${name}`]) {
      if (existsSync(`${base}.spec`))
        return parseAddress(readFileSync(`${base}.spec`, "utf8").trim());
      if (existsSync(`${base}.json`)) return parseJson(readFileSync(`${base}.json`, "utf8"));
    }
  throw notFound(name);
}

async function post(address: Address, method: string, body: object, patience: number) {
  const response = await fetch(`${address.url}/${method}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { Accept: CONTENT_TYPE, "Content-Type": CONTENT_TYPE },
    redirect: "error",
    signal: AbortSignal.timeout(patience),
    ...(address.unix === undefined ? {} : { unix: address.unix }),
    ...(address.tls === undefined ? {} : { tls: address.tls }),
  });
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    pieces.push(piece);
    size += piece.length;
    if (size > ANSWER_MAX) throw new Error(`${method}: the answer is too long`);
  }
  return { ok: response.ok, content: Buffer.concat(pieces).toString() };
}

/** Nobody listens there, just now: nothing has been asked of anybody. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    /ECONNREFUSED|ConnectionRefused|FailedToOpenSocket|ENOENT/.test(
      `${"code" in error ? error.code : ""}`,
    )
  );
}

/** One plugin, by its name. */
export class DockerPlugin {
  private activated: string | undefined;

  constructor(
    private readonly places: PluginPlaces,
    readonly name: string,
  ) {}

  /** Asks something. Rejects with what the plugin says is wrong (its field Err), or with why it cannot be asked. */
  async call(method: string, body: object, patience = CALL_MS) {
    for (let tries = 1; ; tries++) {
      const address = locate(this.places, this.name);
      try {
        const { ok, content } = await post(address, method, body, patience);
        let answer: Readonly<Record<string, unknown>> = {};
        try {
          answer = object(JSON.parse(content || "{}"));
        } catch (error) {
          if (ok) throw new Error(`${method}: the answer is no JSON: ${messageOf(error)}`);
        }
        const refusal = text(answer.Err);
        if (ok && refusal === "") return answer;
        throw new Error(ok ? refusal : `${method}: ${refusal || content.trim().slice(0, 500)}`);
      } catch (error) {
        if (!isRefusal(error) || tries === TRIES) throw error;
        await Bun.sleep(TRY_AGAIN_MS * tries);
      }
    }
  }

  /** Asks the program whether it is one of a kind, once for each that listens there. Rejects when it is not. */
  async activate(kind: string, patience = CALL_MS): Promise<void> {
    const address = JSON.stringify(locate(this.places, this.name));
    if (this.activated === address) return;
    const { Implements } = await this.call("Plugin.Activate", {}, patience);
    if (!Array.isArray(Implements) || !Implements.includes(kind))
      throw new Error("Plugin does not implement the requested driver");
    this.activated = address;
  }
}
