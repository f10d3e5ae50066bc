/**
 * What leads out of a rootless daemon's network namespace: pasta or slirp4netns, a program that needs no rights.
 */
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { fault, messageOf } from "../../base/errors.ts";

/** Which program; "none": nothing leads out. */
export type Outside = "pasta" | "slirp4netns" | "none";

/** As --rootless-network has them. */
export const outsides: readonly Outside[] = ["pasta", "slirp4netns", "none"];

/** Where containers ask for names when the host's own name servers are out of their reach: the program asks these. */
export const outsideResolver: Readonly<Record<Outside, string | undefined>> = {
  pasta: "169.254.1.1",
  slirp4netns: "10.0.2.3",
  none: undefined,
};

/** What is asked for, or the first that is installed. Throws a Fault "unsupported" that says what to install. */
export function chooseOutside(asked: string | undefined, which = Bun.which): Outside {
  const known = outsides.find((name) => name === asked);
  if (asked !== undefined && known === undefined)
    throw fault(
      "invalid",
      "daemon-option",
      `invalid value "${asked}" for --rootless-network: it must be ${outsides.join(", ")}`,
    );
  if (known === "none") return known;
  const wanted = known === undefined ? outsides.filter((name) => name !== "none") : [known];
  const found = wanted.find((name) => which(name) !== null);
  if (found !== undefined) return found;
  throw fault(
    "unsupported",
    "rootless-network",
    `${wanted.join(" and ")} ${wanted.length === 1 ? "is" : "are"} not installed, and nothing else leads containers out: install the package ${known ?? "passt"}, or say --rootless-network=none`,
  );
}

/** Addresses for a host that has none of its own yet: what leads out asks the host for each connection anew. */
const UNCONNECTED = "-4 -i lo -a 10.0.2.100 -n 24 -g 10.0.2.2 -M 9a:55:9a:55:9a:55".split(" ");

/** The command line for the namespaces that a process is in. `connected`: the host has a way out of its own. */
export function outsideCommand(
  outside: Outside,
  inside: number,
  pidFile: string,
  connected = true,
): readonly string[] {
  const namespace = (kind: string) => `/proc/${inside}/ns/${kind}`;
  const resolver = outsideResolver[outside] ?? "";
  if (outside === "pasta") {
    const none = ["-t", "none", "-u", "none", "-T", "none", "-U", "none"];
    const forward = [
      "--config-net",
      "-I",
      "tap0",
      "--no-map-gw",
      "--dns-forward",
      resolver,
      ...none,
    ];
    const target = ["--userns", namespace("user"), "--netns", namespace("net")];
    return [
      "pasta",
      "--quiet",
      "--pid",
      pidFile,
      ...forward,
      ...(connected ? [] : UNCONNECTED),
      ...target,
    ];
  }
  const own = ["--configure", "--mtu=65520", "--disable-host-loopback", "--ready-fd=3"];
  const target = [`--userns-path=${namespace("user")}`, "--netns-type=path", namespace("net")];
  return ["slirp4netns", ...own, ...target, "tap0"];
}

function failed(program: string, said: string): Error {
  const words = said.trim().split("\n").slice(-3).join("; ");
  return fault(
    "failed",
    "rootless-network",
    `${program} does not lead out of the network namespace: ${words}`,
  );
}

async function tryPasta(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  return (await child.exited) === 0 ? undefined : child.stderr.text();
}

/** pasta goes into the background when all is set up. */
async function startPasta(inside: number, pidFile: string): Promise<number> {
  const said = await tryPasta(outsideCommand("pasta", inside, pidFile));
  const offline = said !== undefined && /routable interface|not usable/.test(said);
  const again = offline ? await tryPasta(outsideCommand("pasta", inside, pidFile, false)) : said;
  if (again !== undefined) throw failed("pasta", again);
  return Number(readFileSync(pidFile, "utf8"));
}

/** slirp4netns says by a byte that all is set up. */
async function startSlirp(inside: number, logFile: string): Promise<number> {
  // A pipe would end with this process, and the program by it.
  writeFileSync(logFile, "", { mode: 0o600 });
  const child = Bun.spawn([...outsideCommand("slirp4netns", inside, "")], {
    stdio: ["ignore", "ignore", Bun.file(logFile), "pipe"],
    detached: true,
  });
  const ready = child.stdio[3];
  if (typeof ready !== "number") throw new Error("no descriptor to be told by");
  const said = Bun.file(ready).stream().getReader().read();
  const up = await Promise.race([said.then(({ done }) => !done), child.exited.then(() => false)]);
  if (!up) throw failed("slirp4netns", readFileSync(logFile, "utf8"));
  return child.pid;
}

function checkTun(): void {
  try {
    accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch (error) {
    throw fault(
      "unsupported",
      "rootless-network",
      `this user may not open /dev/net/tun (${messageOf(error)}): as root, run "modprobe tun" and "chmod 666 /dev/net/tun", or say --rootless-network=none`,
    );
  }
}

/**
 * Starts the program for the namespaces that a process is in; gives its pid, 0 for none. Rejects with a Fault "failed" in the
 * program's words.
 */
export async function startOutside(
  outside: Outside,
  inside: number,
  execRoot: string,
): Promise<number> {
  if (outside === "none") return 0;
  checkTun();
  return outside === "pasta"
    ? startPasta(inside, `${execRoot}/outside.pid`)
    : startSlirp(inside, `${execRoot}/outside.log`);
}
