/**
 * Putting berth onto a host that is reached by ssh, and taking it away again. What was there before stays as it was.
 */
import type { SshTarget } from "../../client/index.ts";
import { manifestPath } from "../install/plan.ts";
import type { Installed } from "./record.ts";
import { mustRunThere, runThere } from "./remote.ts";

const GROUP = "berth";
const LINK = "/usr/local/bin/docker";
const MANIFEST = manifestPath("/usr/local");

/** What uname calls the processors that this executable is for. */
const ARCHITECTURES: Readonly<Record<string, readonly string[]>> = {
  x64: ["x86_64", "amd64"],
  arm64: ["aarch64", "arm64"],
};

/** What a host is like. */
export interface Surveyed {
  readonly architecture: string;
  readonly system: string;
  readonly hasSystemd: boolean;
  readonly isRoot: boolean;
  /** What sudo says to whoever asks for root's rights without a password; "" for nothing, when it gives them. */
  readonly sudoRefusal: string;
  /** Where berth is in the PATH; "" for nowhere. */
  readonly berth: string;
  /** Its files are those of `berth system install`. */
  readonly isManaged: boolean;
  readonly hasDocker: boolean;
}

const survey = `
echo system=$(uname -s)
echo architecture=$(uname -m)
echo uid=$(id -u)
if [ -d /run/systemd/system ]; then echo systemd=yes; fi
if ! command -v sudo >/dev/null; then echo sudo=there is no sudo
else said=$(LC_ALL=C sudo -n true 2>&1 >/dev/null) || echo "sudo=$(echo "$said" | tail -n 1)"; fi
echo berth=$(command -v berth)
echo docker=$(command -v docker)
if [ -e ${MANIFEST} ]; then echo managed=yes; fi
`;

/** Looks at a host; changes nothing. */
export async function surveyHost(target: SshTarget): Promise<Surveyed> {
  const text = await mustRunThere(target, "looking at the system", survey);
  const found = new Map(
    text.split("\n").map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1).trim()] as const;
    }),
  );
  const said = (name: string) => found.get(name) ?? "";
  return {
    architecture: said("architecture"),
    system: said("system"),
    hasSystemd: said("systemd") !== "",
    isRoot: said("uid") === "0",
    sudoRefusal: said("sudo"),
    berth: said("berth"),
    isManaged: said("managed") !== "",
    hasDocker: said("docker") !== "",
  };
}

/** What to say of a user who has not root's rights there. */
function withoutRights(user: string, refusal: string): string {
  const rights = `a line "${user} ALL=(ALL) NOPASSWD: ALL" in a file of /etc/sudoers.d`;
  if (refusal === "there is no sudo")
    return `the user ${user} is not root there, and there is no sudo: name root with --generic-ssh-user, or install sudo on the host with ${rights}`;
  const why = refusal.includes("password is required")
    ? `sudo asks ${user} for a password there, and berth has none to give`
    : `sudo does not give ${user} the rights of root there (${refusal})`;
  return `${why}: name root with --generic-ssh-user, or let sudo ask ${user} for none with ${rights}`;
}

/** Throws, saying what to do, for a host that this executable cannot be put onto. */
export function checkHost(host: Surveyed, user: string, architecture: string): void {
  const { system, isRoot, sudoRefusal, hasSystemd } = host;
  if (system !== "Linux")
    throw new Error(`the host runs ${system || "no system that is known"}; berth needs Linux`);
  const fitting = ARCHITECTURES[architecture] ?? [architecture];
  if (!fitting.includes(host.architecture))
    throw new Error(
      `the host has a processor of the kind ${host.architecture}, and this executable is for ${fitting[0]}: run 'machine create' with the executable that was built for ${host.architecture}`,
    );
  if (isRoot) return;
  if (sudoRefusal !== "") throw new Error(withoutRights(user, sudoRefusal));
  if (!hasSystemd)
    throw new Error(
      `the host has no systemd, so nothing would start the daemon for the user ${user}: name root with --generic-ssh-user`,
    );
}

const asRoot = (isRoot: boolean) => (isRoot ? "" : "sudo -n ");

/** Copies this executable there and has it install itself. `tell` hears each step. */
export async function installThere(
  target: SshTarget,
  { isRoot }: Pick<Surveyed, "isRoot">,
  tell: (line: string) => void,
): Promise<void> {
  tell("Copying the executable...");
  const place = (
    await mustRunThere(
      target,
      "copying the executable",
      'umask 077; d=$(mktemp -d "$HOME/.berth-XXXXXX") && cat > "$d/berth" && chmod 700 "$d/berth" && echo "$d"',
      { input: process.execPath },
    )
  ).trim();
  if (!/^\/[^'\n]*\/\.berth-\w{6}$/.test(place))
    throw new Error(
      `copying the executable to ${target.host} failed: it says ${JSON.stringify(place)}`,
    );
  tell("Installing it...");
  try {
    await mustRunThere(
      target,
      "installing berth",
      `'${place}/berth' --version >/dev/null && ${asRoot(isRoot)}'${place}/berth' system install`,
    );
  } finally {
    await runThere(target, `rm -rf '${place}'`);
  }
}

/** Ends the daemon that was started on demand there, so that the next one is the executable of now. Containers go on. */
async function endDaemon(target: SshTarget, root: string): Promise<void> {
  await mustRunThere(
    target,
    "ending the daemon",
    `[ ! -d /run/systemd/system ] || exit 0
pid=$(cat /run/berth/berth.pid 2>/dev/null) || exit 0
${root}kill "$pid" 2>/dev/null || exit 0
n=0; while [ -e "/proc/$pid" ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done`,
  );
}

/** Puts a newer executable there. */
export async function upgradeThere(
  target: SshTarget,
  host: Surveyed,
  tell: (line: string) => void,
): Promise<void> {
  await installThere(target, host, tell);
  if (!host.hasSystemd) await endDaemon(target, asRoot(host.isRoot));
}

/** What there is besides the executable: the name docker, and the user's membership. `note` hears of each before it is done. */
export async function settleThere(
  target: SshTarget,
  host: Surveyed,
  user: string,
  note: (installed: Partial<Installed>) => void,
): Promise<void> {
  const root = asRoot(host.isRoot);
  if (!host.hasDocker) {
    note({ DockerLink: true });
    await mustRunThere(target, `making ${LINK}`, `${root}ln -s berth ${LINK}`);
  }
  if (host.isRoot) return;
  const groups = await mustRunThere(target, "reading the user's groups", "id -Gn");
  if (groups.trim().split(/\s+/).includes(GROUP)) return;
  note({ Member: true });
  const adding = `${root}usermod -aG ${GROUP} '${user}'`;
  await mustRunThere(target, "letting the user use the socket", adding);
}

/** How many containers run there; none when no daemon can be asked. */
export async function runningThere(target: SshTarget): Promise<number> {
  const { status, out } = await runThere(target, "berth ps -q");
  return status === 0 ? out.split("\n").filter(Boolean).length : 0;
}

/** Takes away what was installed; images, volumes and containers stay. */
export async function removeThere(
  target: SshTarget,
  { isRoot }: Pick<Surveyed, "isRoot">,
  user: string,
  installed: Installed,
): Promise<void> {
  const root = asRoot(isRoot);
  if (installed.DockerLink)
    await mustRunThere(
      target,
      `removing ${LINK}`,
      `[ "$(readlink ${LINK})" != berth ] || ${root}rm ${LINK}`,
    );
  if (installed.Member)
    await mustRunThere(
      target,
      "ending the user's membership",
      `${root}gpasswd -d '${user}' ${GROUP} || true`,
    );
  if (!installed.Berth) return;
  await endDaemon(target, root);
  // Installing may have been what failed.
  const uninstall = `[ ! -e ${MANIFEST} ] || ${root}/usr/local/bin/berth system uninstall`;
  await mustRunThere(target, "uninstalling berth", uninstall);
}
