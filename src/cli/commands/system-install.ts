/**
 * `berth system install` and `uninstall`: the executable, completions, manual pages and systemd units of this host.
 */
import { type Command, ExitError } from "../command.ts";
import { flag, type Parsed, UsageError } from "../flags.ts";
import {
  install,
  type Manifest,
  noteMade,
  type Place,
  readManifest,
  type Step,
  stepsOf,
  uninstall,
} from "../install/files.ts";
import {
  endDaemon,
  hasOthersData,
  hasSystemd,
  isOfService,
  makeGroup,
  makeUser,
  ownedByPackages,
  removeGroup,
  removeUser,
  runningDaemon,
  runProgram,
  userNumber,
} from "../install/host.ts";
import { installationOf } from "../install/plan.ts";
import { err, out } from "../output.ts";
import { completionScripts } from "./completion.ts";

const placeFlags = [
  flag("prefix", "", "string", "Directory to install below", '"/usr/local"'),
  flag("destdir", "", "string", "Stage the files below this directory, and touch nothing else"),
  flag("dry-run", "", "bool", "Say what would be done, and do nothing"),
];

function placeOf(parsed: Parsed): Place {
  const [prefix, destdir] = [parsed.text("prefix", "/usr/local"), parsed.text("destdir")].map(
    (path) => path.replace(/\/+$/, ""),
  ) as [string, string];
  for (const [name, path] of [
    ["prefix", prefix],
    ["destdir", destdir],
  ] as const)
    if ((path !== "" && !/^\/[\w./+@-]+$/.test(path)) || path.split("/").includes(".."))
      throw new UsageError(
        `berth: --${name} ${JSON.stringify(path)} is no absolute path of letters, digits and ./+@_-`,
      );
  if (prefix === "") throw new UsageError("berth: --prefix cannot be the root directory");
  return { prefix, destdir };
}

function refuseForeign(steps: readonly Step[], destdir: string): void {
  const foreign = steps.filter(({ action }) => action === "foreign");
  if (foreign.length === 0) return;
  const paths = foreign.map(({ file }) => `  ${destdir}${file.path}`).join("\n");
  throw new ExitError(
    1,
    `nothing was installed: these files are there already, and not as 'berth system install' has put them:\n${paths}\nMove them away, or choose another --prefix.`,
  );
}

/** Refuses what would change files of a package: only its manager keeps the list of them true. */
function refusePackaged(
  paths: readonly string[],
  { destdir }: Place,
  doing: string,
  advice: (packages: string) => string,
): void {
  if (destdir !== "") return;
  const owners = ownedByPackages(paths);
  if (owners.size === 0) return;
  const packages = [...new Set(owners.values())].join(" ");
  const [first = ""] = owners.keys();
  const others = owners.size > 1 ? ` and ${owners.size - 1} more` : "";
  throw new ExitError(
    1,
    `nothing was ${doing}: ${first}${others} ${owners.size > 1 ? "belong" : "belongs"} to the package ${packages}. ${advice(packages)}`,
  );
}

function tellPlan(steps: readonly Step[], place: Place, before: Manifest | undefined): void {
  const words = {
    new: "would install",
    replace: "would replace",
    keep: "is there",
    theirs: "is there, and stays as it is:",
    foreign: "",
  };
  for (const { file, action } of steps) out(`${words[action]} ${place.destdir}${file.path}\n`);
  const wanted = new Set(steps.map(({ file }) => file.path));
  for (const path of Object.keys(before?.files ?? {}))
    if (!wanted.has(path)) out(`would remove ${place.destdir}${path}\n`);
}

/** Refuses a user that cannot be the daemon's, before anything is done. */
function refuseUser(user: string, { destdir }: Place): void {
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(user))
    throw new UsageError(`berth: ${JSON.stringify(user)} is no name for a user`);
  if (destdir !== "") return;
  if (userNumber(user) === 0)
    throw new UsageError(`berth: --user ${user}: it must be a user other than root`);
  if (hasOthersData(user))
    throw new ExitError(
      1,
      `nothing was installed: /var/lib/berth is of another user than ${user}, or a daemon that is root has used it. Save what you need of it ('berth save', 'berth volume export') and move it away: the data of the one are closed to the other.`,
    );
}

/** The group, the user, the units, and the daemon that runs. */
async function settleHost(
  place: Place,
  manifest: Manifest,
  group: string,
  user: string | undefined,
): Promise<void> {
  const noted = makeGroup(group) ? noteMade(place, manifest, { group }) : manifest;
  if (user !== undefined && makeUser(user, group)) noteMade(place, noted, { user });
  const daemon = runningDaemon();
  if (hasSystemd()) {
    if (daemon !== undefined && !isOfService(daemon)) await endDaemon(daemon);
    runProgram(["systemctl", "daemon-reload"]);
    runProgram(["systemctl", "enable", "--now", "berth.socket"]);
    runProgram(["systemctl", "enable", "berth.service"]);
    runProgram(["systemctl", "restart", "berth.service"]);
    out("berth.service runs, and will after each boot.\n");
  } else {
    const as = user === undefined ? "" : ` --user ${user}`;
    const start = `${place.prefix}/bin/berth daemon --group ${group}${as}`;
    if (daemon === undefined) out(`This host has no systemd. Start the daemon with: ${start}\n`);
    else
      out(
        `The daemon that runs (process ${daemon}) is the one from before. Containers go on without it:\n  kill ${daemon}\n  ${start}\n`,
      );
  }
  out(
    user === undefined
      ? `Members of the group ${group} may use it, which makes them root on this host.\n`
      : `It runs as ${user}, and /etc/berth/guard.json says what it may have of this host. Members of the group ${group} may use it.\n`,
  );
}

const installing: Command = {
  usage: "[OPTIONS]",
  short: "Install this executable with its completions, manual pages and systemd units",
  args: [0, 0],
  local: true,
  flags: [
    ...placeFlags,
    flag("group", "", "string", "Group that owns the socket", '"berth"'),
    flag("user", "", "string", "User that the daemon runs as, beside a guard that stays root's"),
  ],
  async run({ version }, parsed) {
    const place = placeOf(parsed);
    const group = parsed.text("group", "berth");
    if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(group))
      throw new UsageError(`berth: ${JSON.stringify(group)} is no name for a group`);
    const user = parsed.text("user") || undefined;
    if (user !== undefined) refuseUser(user, place);
    const { manualPages } = await import("../manual/roff.ts");
    const files = installationOf({
      ...{ prefix: place.prefix, executable: process.execPath, group, user },
      completions: completionScripts,
      manual: await manualPages(version),
    });
    refusePackaged(
      files.map(({ path }) => path),
      place,
      "installed",
      (packages) =>
        `Upgrade that (apt-get install ${packages}), remove it first, or choose another --prefix.`,
    );
    const before = readManifest(place.destdir, place.prefix);
    const steps = stepsOf(files, place.destdir, before);
    refuseForeign(steps, place.destdir);
    if (parsed.on("dry-run")) {
      tellPlan(steps, place, before);
      return 0;
    }
    const manifest = install(steps, place, before, version);
    out(`berth ${version} is installed below ${place.destdir}${place.prefix}\n`);
    if (place.destdir === "") await settleHost(place, manifest, group, user);
    return 0;
  },
};

/** Takes the user and the group away that an installation has made. A user who has data stays, with the group. */
function removeMade({ user, group }: Manifest): void {
  if (user !== undefined && !removeUser(user))
    err(`the user ${user} stays, whose data are in /var/lib/berth\n`);
  else if (group !== undefined) removeGroup(group);
}

const uninstalling: Command = {
  usage: "[OPTIONS]",
  short: "Take away what 'berth system install' has put in place",
  args: [0, 0],
  local: true,
  flags: placeFlags,
  async run(_context, parsed) {
    const place = placeOf(parsed);
    const manifest = readManifest(place.destdir, place.prefix);
    refusePackaged(
      [`${place.prefix}/bin/berth`, ...Object.keys(manifest?.files ?? {})],
      place,
      "removed",
      (packages) => `Remove it with: apt-get remove ${packages}`,
    );
    if (manifest === undefined)
      throw new ExitError(
        1,
        `nothing is installed below ${place.destdir}${place.prefix}: name the directory with --prefix`,
      );
    if (parsed.on("dry-run")) {
      for (const path of Object.keys(manifest.files)) out(`would remove ${place.destdir}${path}\n`);
      if (manifest.user !== undefined) out(`would remove the user ${manifest.user}\n`);
      if (manifest.group !== undefined) out(`would remove the group ${manifest.group}\n`);
      return 0;
    }
    const real = place.destdir === "";
    // Containers stay: they need neither the daemon nor its executable's file.
    if (real && hasSystemd())
      runProgram(["systemctl", "disable", "--now", "berth.socket", "berth.service"]);
    const changed = uninstall(place, manifest);
    if (real && hasSystemd()) runProgram(["systemctl", "daemon-reload"]);
    if (real) removeMade(manifest);
    for (const path of changed) err(`${place.destdir}${path} was changed since, and stays\n`);
    out(`berth is gone from ${place.destdir}${place.prefix}; /var/lib/berth has its data still\n`);
    return 0;
  },
};

/** The commands. */
export const commands = { install: installing, uninstall: uninstalling };
