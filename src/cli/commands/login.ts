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

const [CTRL_C, LINE_FEED, RETURN] = [3, 10, 13];
/** How often somebody who types is looked for. */
const LOOK_MS = 20;
const BACKSPACE = [8, 127];

/** What login and logout call a registry. */
function addressFrom(argument: string | undefined): string {
  if (argument === undefined || /^(https?:\/\/)?(index\.)?docker\.io(\/|$)/.test(argument))
    return HUB_ADDRESS;
  return argument.replace(/^https?:\/\//, "").replace(/\/.*$/s, "");
}

function ask(question: string): string {
  err(question);
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (readSync(0, one) === 1 && one[0] !== LINE_FEED) bytes.push(one[0] ?? 0);
  return Buffer.from(bytes).toString().trim();
}

/** Asks without showing what is typed. */
async function askSecretly(question: string): Promise<string> {
  err(question);
  // A read that waits would keep a signal waiting, too.
  const restore = rawMode(0, true);
  try {
    const bytes: number[] = [];
    const one = new Uint8Array(1);
    for (;;) {
      if (readSync(0, one) === 0) {
        await Bun.sleep(LOOK_MS);
        continue;
      }
      const [byte = 0] = one;
      if (byte === LINE_FEED || byte === RETURN) return Buffer.from(bytes).toString();
      if (byte === CTRL_C) throw new Error("interrupted");
      if (BACKSPACE.includes(byte)) bytes.pop();
      else bytes.push(byte);
    }
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

async function credentialsFrom(
  parsed: Parsed,
  kept: RegistryLogin | undefined,
): Promise<RegistryLogin> {
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
  if (password === "") password = await askSecretly("Password: ");
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
      const login = await credentialsFrom(parsed, kept);
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
