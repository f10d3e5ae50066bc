/**
 * Programs of the host's that work on what anybody may send are confined by berth-helper, which executes them: by Landlock, where the
 * kernel has it, they reach the files that they need and no others.
 */
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";

/** What any program needs to be executed. */
const PROGRAMS = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"];
/** Where some hosts keep other programs, with all that belongs to them. */
const STORES = ["/opt", "/nix/store", "/gnu/store"];
/** What is read by who looks names up, and trusts certificates. */
const NETWORK = [
  ...["resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols"],
  ...["ssl", "pki", "ca-certificates", "gnutls", "crypto-policies", "passwd", "group", "localtime"],
].map((name) => `/etc/${name}`);
const DEVICES = ["+/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
const CONFINER = "berth.confiner";

/** From now on, in threads that begin later too, programs are run by `helper` (berth-helper's path), which confines them. */
export function confineHostPrograms(helper: string): void {
  setEnvironmentData(CONFINER, helper);
}

function byHelper(words: readonly string[], command: readonly [string, ...string[]]) {
  const helper = getEnvironmentData(CONFINER);
  const confined = typeof helper === "string" ? [helper, "confine", ...words, "--"] : [];
  const [first, ...more] = [...confined, ...command];
  return [first ?? command[0], ...more] as const;
}

/** The command line of a program that needs nothing but its standard streams. */
export function confined(command: readonly [string, ...string[]]) {
  return byHelper(PROGRAMS, command);
}

/** The same for one that fetches something: it reaches the network, reads `readable` and changes `writable`; paths. */
export function confinedFetch(
  command: readonly [string, ...string[]],
  { readable, writable }: { readonly readable: readonly string[]; readonly writable: string },
) {
  const words = [...PROGRAMS, ...STORES, ...NETWORK, ...DEVICES, ...readable, `+${writable}`];
  return byHelper(["online", ...words], command);
}
