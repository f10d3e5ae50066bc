/**
 * Who may use the registry: a file of htpasswd with bcrypt entries, read again when it changes.
 */
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { RegistryError } from "./errors.ts";

/** bcrypt sees no further. */
const PASSWORD_MAX = 72;
/** Passwords that have been right are remembered as keyed hashes, since bcrypt takes its time for each request. */
const REMEMBERED_MAX = 1000;
/** So many passwords may wait to be checked: each costs processor time, whoever sends it. */
const CHECKS_MAX = 64;
/** An entry of nobody, so that an unknown name takes as long as a wrong password. */
const NOBODY = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8T8oWq1tN1RkBk5iN9XQm4hG2o2J7e";

/** Reads the lines of htpasswd. Throws a Fault "invalid" for entries that are not bcrypt. */
export function parseHtpasswd(text: string): Map<string, string> {
  const users = new Map<string, string>();
  for (const [at, line] of text.split("\n").entries()) {
    const plain = line.trim();
    if (plain === "" || plain.startsWith("#")) continue;
    const colon = plain.indexOf(":");
    const [name, hash] = [plain.slice(0, colon), plain.slice(colon + 1)];
    if (colon <= 0 || !/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash))
      throw fault(
        "invalid",
        "registry-htpasswd",
        `line ${at + 1} is not NAME:HASH with a bcrypt hash (htpasswd -B makes one)`,
      );
    // Apache writes $2y$ for what everybody else calls $2b$.
    users.set(name, hash.replace(/^\$2[ay]\$/, "$2b$"));
  }
  return users;
}

/** The users of a file. */
export class Htpasswd {
  private users = new Map<string, string>();
  private version = "";
  private readonly key = randomBytes(32);
  private readonly remembered = new Set<string>();
  private checking = 0;

  /** Throws a Fault "invalid" for a file that cannot be used. */
  constructor(private readonly path: string) {
    this.refresh();
  }

  /** Whether an Authorization header is that of a user. Throws TOOMANYREQUESTS while too many wait for the answer. */
  async admits(header: string | undefined): Promise<boolean> {
    const encoded = /^Basic +([A-Za-z0-9+/=_-]+) *$/i.exec(header ?? "")?.[1];
    if (encoded === undefined) return false;
    const text = Buffer.from(encoded, "base64").toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 0) return false;
    this.refreshOrKeep();
    const [name, password] = [text.slice(0, colon), text.slice(colon + 1)];
    const hash = this.users.get(name);
    const token = createHmac("sha256", this.key)
      .update(`${hash}\0${name}\0${password}`)
      .digest("hex");
    if (hash !== undefined && this.remembered.has(token)) return true;
    if (this.checking >= CHECKS_MAX) throw new RegistryError("TOOMANYREQUESTS");
    this.checking++;
    const right = await matches(password, hash ?? NOBODY).finally(() => {
      this.checking--;
    });
    if (!right || hash === undefined) return false;
    if (this.remembered.size >= REMEMBERED_MAX) this.remembered.clear();
    this.remembered.add(token);
    return true;
  }

  private refresh(): void {
    try {
      const { mtimeMs, size, ino } = statSync(this.path);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version === this.version) return;
      this.users = parseHtpasswd(readFileSync(this.path, "utf8"));
      this.version = version;
    } catch (error) {
      throw fault("invalid", "registry-htpasswd", `${this.path}: ${messageOf(error)}`, error);
    }
  }

  /** A file that is just being written, or is gone, changes nothing until it can be read. */
  private refreshOrKeep(): void {
    try {
      this.refresh();
    } catch (error) {
      log.warn("registry: htpasswd stays as it was", { error: messageOf(error) });
    }
  }
}

async function matches(password: string, hash: string): Promise<boolean> {
  const bytes = new TextEncoder().encode(password);
  // bcrypt ends at a NUL, and anything may stand after it.
  if (bytes.includes(0) || bytes.length === 0) return false;
  try {
    return await Bun.password.verify(bytes.subarray(0, PASSWORD_MAX), hash);
  } catch {
    return false;
  }
}
