/**
 * AppArmor on this host: whether it is there, and berth's own profile, which whoever names none has.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";

/** The profile of containers that name none. */
export const DEFAULT_PROFILE = "berth-default";
/** What stands for no profile. */
export const UNCONFINED = "unconfined";

const POLICY = "/sys/kernel/security/apparmor";
const PLACES = "/usr/sbin:/sbin:/usr/bin:/bin";
/** A parser that has not ended by then never will. */
const PATIENCE_MS = 60_000;

/**
 * The profile as text (apparmor.d(5)): what a container may do anyway, without what would reach the host through the kernel's
 * files should a mask be missing, without mounts, and without looking into processes of others.
 */
export function profileText(name: string): string {
  return `#include <tunables/global>

profile ${name} flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  unix,
  umount,

  # The engine, and whoever is not confined, may signal what is in a container; inside, everybody everybody.
  signal (receive) peer=unconfined,
  signal (send,receive) peer=${name},
  ptrace (trace,read,tracedby,readby) peer=${name},

  deny mount,

  # Of /proc only processes' own files are written; of /proc/sys only what is of a namespace: net, fs/mqueue, and of kernel
  # domainname, hostname, msg*, sem* and shm*.
  deny @{PROC}/* w,
  deny @{PROC}/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** w,
  deny @{PROC}/sys/{abi,crypto,debug,dev,user,vm}/** w,
  deny @{PROC}/sys/fs/[^m]** w,
  deny @{PROC}/sys/kernel/{[^dhms]*,d[^o]*,h[^o]*,ho[^s]*,m[^s]*,s[^eh]*,se[^m]*}{,/**} w,
  deny @{PROC}/{kcore,kmem,mem,sysrq-trigger} rwklx,

  # Of /sys nothing is written but control groups.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;
}

/** Whether the kernel confines by AppArmor. */
function isActive(): boolean {
  return existsSync(`${POLICY}/.replace`);
}

function isLoaded(name: string): boolean {
  try {
    const profiles = readFileSync(`${POLICY}/profiles`, "utf8").split("\n");
    return profiles.some((line) => line.startsWith(`${name} (`));
  } catch {
    return false;
  }
}

/** AppArmor, as a daemon uses it. */
export class AppArmor {
  private loading: Promise<void> | undefined;
  private isFresh = false;

  /** `directory`: for the profile's text and what the parser has made of it, which it keeps as long as the text is the same. */
  constructor(
    private readonly directory: string,
    readonly active: boolean = isActive(),
  ) {}

  /**
   * Has the kernel know berth's profile, in this berth's form. Throws a Fault "failed" when that cannot be done and the kernel has
   * none by that name.
   */
  async ensureDefault(): Promise<void> {
    if (!this.active || (this.isFresh && isLoaded(DEFAULT_PROFILE))) return;
    this.loading ??= this.load().finally(() => {
      this.loading = undefined;
    });
    await this.loading;
  }

  private async load(): Promise<void> {
    try {
      await loadProfile(this.directory);
      this.isFresh = true;
    } catch (error) {
      if (!isLoaded(DEFAULT_PROFILE))
        throw fault(
          "failed",
          "apparmor-profile",
          `AppArmor enabled on system but the ${DEFAULT_PROFILE} profile could not be loaded: ${messageOf(error)}`,
          error,
        );
      log.warn("AppArmor's profile is that of an earlier berth", { error: messageOf(error) });
    }
  }
}

/** Compiles the profile, or takes what has been compiled of the same text before, and gives it to the kernel. */
async function loadProfile(directory: string): Promise<void> {
  const parser = Bun.which("apparmor_parser", { PATH: PLACES });
  if (parser === null) throw new Error("this host has no apparmor_parser: install apparmor");
  mkdirSync(`${directory}/cache`, { recursive: true, mode: 0o700 });
  const file = `${directory}/${DEFAULT_PROFILE}`;
  const text = profileText(DEFAULT_PROFILE);
  // The parser's cache goes by the file's time.
  if (!existsSync(file) || readFileSync(file, "utf8") !== text) writeFileAtomic(file, text);
  const flags = ["--replace", "--write-cache", `--cache-loc=${directory}/cache`];
  const child = Bun.spawn([parser, ...flags, file], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: {},
    cwd: "/",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status !== 0)
    throw new Error(`${parser}: ${said.trim().slice(0, 500) || `status ${status}`}`);
}
