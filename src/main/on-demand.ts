/**
 * Starting a daemon because a command needs one: in the background, on the default socket, gone again when idle.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";

const LOG = "/run/berth/daemon.log";
const SOCKET = "/run/berth/berth.sock";
const PATIENCE_MS = 20_000;
/** Seconds; `berth daemon` by hand stays. */
const IDLE_TIMEOUT = process.env.BERTH_IDLE_TIMEOUT ?? "60";

async function answers(): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: SOCKET, socket: { data: () => {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/** Starts a daemon and resolves once it answers. Throws with the end of its log when it does not come up. */
export async function startDaemon(): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Error(
      "no berth daemon is running, and only root can start one: run berth with sudo, or start one of your own with 'berth daemon --rootless'",
    );
  mkdirSync("/run/berth", { recursive: true, mode: 0o711 });
  const log = openSync(LOG, "w", 0o600);
  writeSync(
    2,
    "berth: starting a daemon (it ends when idle; 'berth daemon' starts one that stays)\n",
  );
  const child = Bun.spawn([process.execPath, "daemon", "--idle-timeout", IDLE_TIMEOUT], {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    cwd: "/",
    detached: true,
  });
  child.unref();
  closeSync(log);
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await answers())) {
    if (child.exitCode !== null || Date.now() > deadline) {
      const tail = readFileSync(LOG, "utf8").trim().split("\n").slice(-5).join("\n");
      throw new Error(`the daemon did not start:\n${tail}`);
    }
    await Bun.sleep(5);
  }
}
