/**
 * A fresh Debian for the tests of packages: made once by debootstrap, and kept by what it was made from.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const SUITE = "bookworm";
const MIRROR = process.env.BERTH_DEBIAN_MIRROR ?? "http://deb.debian.org/debian";
/** What berth's package depends on: the tests install it without a network. */
const PACKAGES = ["ca-certificates"];
const PATIENCE_MS = 15 * 60_000;

const wanted = ["debootstrap", "--variant=minbase", `--include=${PACKAGES.join(",")}`, SUITE];
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "berth-tests");

/** Where it is, if it was made. Nobody writes there: whoever uses it puts an overlay above. */
export const debianRoot = join(
  cache,
  `debian-${new Bun.CryptoHasher("sha256")
    .update(`${wanted.join(" ")} ${process.arch}`)
    .digest("hex")
    .slice(0, 16)}`,
);

/** Makes it unless it is there. Gives the reason when it cannot be had here; "" when it is there. */
export async function prepareDebianRoot(): Promise<string> {
  if (existsSync(debianRoot)) return "";
  if (process.getuid?.() !== 0) return "only root can make one";
  if (Bun.which("debootstrap") === null) return "there is no debootstrap";
  mkdirSync(cache, { recursive: true });
  const making = mkdtempSync(`${debianRoot}.`);
  const log = `${making}.log`;
  try {
    // What it mounts there must be gone when that is deleted, however it has ended.
    const child = Bun.spawn(["unshare", "--mount", ...wanted, making, MIRROR], {
      ...{ stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(log), timeout: PATIENCE_MS },
    });
    if ((await child.exited) !== 0) {
      const said = (await Bun.file(log).text()).trim().split("\n").at(-1) ?? "";
      return `debootstrap from ${MIRROR} failed: ${said}`;
    }
    // Whole or not at all, also when two make it at once.
    if (!existsSync(debianRoot)) renameSync(making, debianRoot);
    return "";
  } finally {
    rmSync(making, { recursive: true, force: true });
    rmSync(log, { force: true });
  }
}
