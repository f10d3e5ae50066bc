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

/** How it is run: `pidFile` for pasta's start, which goes into the background; without one it stays in front, for a supervisor. */
export interface OutsideRun {
  readonly pidFile?: string | undefined;
  /** The host has a way out of its own. */
  readonly connected?: boolean | undefined;
}

/** The command line for the namespaces that a process is in. */
export function outsideCommand(
  outside: Exclude<Outside, "none">,
  inside: number,
  { pidFile, connected = true }: OutsideRun = {},
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
      ...(pidFile === undefined ? ["--foreground"] : ["--pid", pidFile]),
      ...forward,
      ...(connected ? [] : UNCONNECTED),
      ...target,
    ];
  }
  const own = ["--configure", "--mtu=65520", "--disable-host-loopback"];
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

/** What leads out, and how it is started again. */
export interface RunningOutside {
  /** 0: nothing does. */
  readonly pid: number;
  /** Empty: there is nothing to start. The program stays in front, and is named by its path. */
  readonly again: readonly string[];
}

/** By its path: whoever runs it may have another PATH. */
function withPath([program = "", ...words]: readonly string[]): readonly string[] {
  return [Bun.which(program) ?? program, ...words];
}

async function tryPasta(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  return (await child.exited) === 0 ? undefined : child.stderr.text();
}

/** pasta goes into the background when all is set up. */
async function startPasta(inside: number, pidFile: string): Promise<RunningOutside> {
  const start = (connected: boolean) =>
    tryPasta(outsideCommand("pasta", inside, { pidFile, connected }));
  const said = await start(true);
  const offline = said !== undefined && /routable interface|not usable/.test(said);
  const again = offline ? await start(false) : said;
  if (again !== undefined) throw failed("pasta", again);
  return {
    pid: Number(readFileSync(pidFile, "utf8")),
    again: withPath(outsideCommand("pasta", inside, { connected: !offline })),
  };
}

/** slirp4netns says by a byte that all is set up. */
async function startSlirp(inside: number, logFile: string): Promise<RunningOutside> {
  // A pipe would end with this process, and the program by it.
  writeFileSync(logFile, "", { mode: 0o600 });
  const command = outsideCommand("slirp4netns", inside);
  // By a shell that goes at once: this process becomes the daemon, which waits for no child that it does not know.
  const child = Bun.spawn(
    ["sh", "-c", '"$@" > /dev/null & echo $!', "sh", ...command, "--ready-fd=3"],
    {
      stdio: ["ignore", "pipe", Bun.file(logFile), "pipe"],
      detached: true,
    },
  );
  const ready = child.stdio[3];
  if (typeof ready !== "number") throw new Error("no descriptor to be told by");
  const { done } = await Bun.file(ready).stream().getReader().read();
  if (done) throw failed("slirp4netns", readFileSync(logFile, "utf8"));
  const { value } = await child.stdout.getReader().read();
  return { pid: Number(new TextDecoder().decode(value)), again: withPath(command) };
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
 * Starts the program for the namespaces that a process is in. Rejects with a Fault "failed" in the program's words.
 */
export async function startOutside(
  outside: Outside,
  inside: number,
  execRoot: string,
): Promise<RunningOutside> {
  if (outside === "none") return { pid: 0, again: [] };
  checkTun();
  return outside === "pasta"
    ? startPasta(inside, `${execRoot}/outside.pid`)
    : startSlirp(inside, `${execRoot}/outside.log`);
}
