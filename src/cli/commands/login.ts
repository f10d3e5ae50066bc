/**
 * `berth login` and `berth logout`.
 */
import { readSync } from "node:fs";
import type { Command } from "../command.ts";
import { configPath } from "../config-file.ts";
import {
  forgetLogin,
  HUB_ADDRESS,
  keepLogin,
  loginFor,
  type RegistryLogin,
} from "../docker-config.ts";
import { flag, type Parsed } from "../flags.ts";
import { err, out } from "../output.ts";
import { isTerminal, rawMode } from "../terminal.ts";

const CTRL_C = 3;
const BACKSPACE = [8, 127];

/** What login and logout call a registry. */
function addressFrom(argument: string | undefined): string {
  if (argument === undefined || /^(https?:\/\/)?(index\.)?docker\.io(\/|$)/.test(argument))
    return HUB_ADDRESS;
  return argument.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
}

function readLine(fd: number, end: (byte: number) => boolean): Buffer {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (readSync(fd, one) === 1 && !end(one[0] ?? 0)) {
    if (one[0] === CTRL_C) throw new Error("interrupted");
    if (BACKSPACE.includes(one[0] ?? 0)) bytes.pop();
    else bytes.push(one[0] ?? 0);
  }
  return Buffer.from(bytes);
}

function ask(question: string): string {
  err(question);
  return readLine(0, (byte) => byte === 10)
    .toString()
    .trim();
}

/** Asks without showing what is typed. */
function askSecretly(question: string): string {
  err(question);
  const restore = rawMode(0);
  try {
    return readLine(0, (byte) => byte === 10 || byte === 13).toString();
  } finally {
    restore();
    err("\n");
  }
}

function passwordFrom(parsed: Parsed): string {
  if (!parsed.on("password-stdin")) return parsed.text("password");
  if (!parsed.has("username"))
    throw new Error("the --password-stdin option requires --username to be set");
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = Buffer.alloc(4096);
    const length = readSync(0, piece);
    if (length === 0) break;
    pieces.push(piece.subarray(0, length));
  }
  return Buffer.concat(pieces)
    .toString()
    .replace(/\r?\n$/, "");
}

function credentialsFrom(parsed: Parsed, kept: RegistryLogin | undefined): RegistryLogin {
  let username = parsed.text("username");
  let password = passwordFrom(parsed);
  if (username !== "" && password !== "") return { username, password, identityToken: "" };
  if (!isTerminal(0))
    throw new Error("Error: Cannot perform an interactive login from a non TTY device");
  if (username === "") {
    const known = kept?.username ?? "";
    username = ask(`Username${known === "" ? "" : ` (${known})`}: `) || known;
  }
  if (username === "") throw new Error("Error: Non-null Username Required");
  if (password === "") password = askSecretly("Password: ");
  if (password === "") throw new Error("Error: Password Required");
  return { username, password, identityToken: "" };
}

/** The two commands. */
export const commands = {
  login: {
    usage: "[OPTIONS] [SERVER]",
    short: "Authenticate to a registry",
    args: [0, 1],
    flags: [
      flag("password", "p", "string", "Password or Personal Access Token (PAT)"),
      flag(
        "password-stdin",
        "",
        "bool",
        "Take the Password or Personal Access Token (PAT) from stdin",
      ),
      flag("username", "u", "string", "Username"),
    ],
    async run({ client }, parsed) {
      const serveraddress = addressFrom(parsed.args[0]);
      const check = async ({ username, password, identityToken }: RegistryLogin) => {
        const body = {
          username,
          password,
          serveraddress,
          identitytoken: identityToken || undefined,
        };
        type Answer = { Status: string; IdentityToken?: string };
        return client.json<Answer>("POST", "/auth", { body });
      };
      if (parsed.has("password") && parsed.on("password-stdin"))
        throw new Error("conflicting options: cannot specify both --password and --password-stdin");
      if (parsed.has("password"))
        err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
      const kept = loginFor(serveraddress);
      if (kept !== undefined && !parsed.has("username")) {
        out("Authenticating with existing credentials...\n");
        const known = await check(kept).catch(() => undefined);
        if (known !== undefined) {
          out(`${known.Status}\n`);
          return 0;
        }
        err("Login did not succeed, error: the kept credentials are refused\n");
      }
      const login = credentialsFrom(parsed, kept);
      const { Status, IdentityToken = "" } = await check(login);
      const helper = keepLogin(serveraddress, { ...login, identityToken: IdentityToken });
      if (helper === undefined)
        err(
          `\nWARNING! Your credentials are stored unencrypted in '${configPath()}'.\nConfigure a credential helper to remove this warning.\n\n`,
        );
      out(`${Status}\n`);
      return 0;
    },
  },
  logout: {
    usage: "[SERVER]",
    short: "Log out from a registry",
    args: [0, 1],
    flags: [],
    async run(_context, parsed) {
      const address = addressFrom(parsed.args[0]);
      const shown = address === HUB_ADDRESS ? "https://index.docker.io/v1/" : address;
      out(`Removing login credentials for ${shown}\n`);
      forgetLogin(address);
      return 0;
    },
  },
} satisfies Record<string, Command>;
