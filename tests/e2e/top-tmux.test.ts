/** `berth top` in a terminal that somebody else has written: tmux, which draws what it is told and says what stands there. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const executable = join(import.meta.dir, "../../dist/berth");
const scratch = scratchDirectory("bt-tmux-");
const inTmux = test.skipIf(Bun.which("tmux") === null);

function tmux(...args: string[]): string {
  const done = Bun.spawnSync(["tmux", "-S", `${scratch}/socket`, "-f", "/dev/null", ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: scratch, LC_ALL: "C.UTF-8", SHELL: "/bin/sh" },
  });
  if (done.exitCode !== 0) throw new Error(`tmux ${args.join(" ")}: ${done.stderr}`);
  return done.stdout.toString();
}
afterAll(() => rmSync(scratch, { recursive: true }));

const screen = () => tmux("capture-pane", "-p", "-t", "top");
const keys = (...names: string[]) => tmux("send-keys", "-t", "top", ...names);
const told = (what: string) => tmux("display-message", "-p", "-t", "top", what).trim();

/** Waits until the screen is as wanted; gives it. */
async function see(wanted: RegExp | ((shown: string) => boolean)): Promise<string> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const shown = screen();
    if (typeof wanted === "function" ? wanted(shown) : wanted.test(shown)) return shown;
    if (Date.now() > deadline) throw new Error(`${wanted} is not on the screen:\n${shown}`);
    await Bun.sleep(20);
  }
}

async function oneSession(): Promise<void> {
  const busy = "trap 'exit 0' TERM; echo the-log-of-busy; while :; do :; done";
  await daemon.berth("run", "-d", "--name", "busy", "busybox", "sh", "-c", busy);
  const grown =
    "x=$(head -c 20000000 /dev/zero | tr '\\0' x); trap 'exit 0' TERM; while :; do sleep 0.1; done";
  await daemon.berth("run", "-d", "--name", "large", "busybox", "sh", "-c", grown);
  await daemon.berth("run", "-d", "--name", "idle", "busybox", "sleep", "1000");
  const environment = `BERTH_HOST=unix://${daemon.socket}`;
  const script = `trap : INT; echo before-it; stty -g > ${scratch}/before; ${executable} top; echo status-$?; stty -g > ${scratch}/after; echo is-over; sleep 1000`;
  tmux(
    "new-session",
    "-d",
    "-s",
    "top",
    "-x",
    "100",
    "-y",
    "20",
    "env",
    environment,
    "sh",
    "-c",
    script,
  );

  const order = (shown: string) => shown.match(/\b(busy|large|idle)\b/g)?.join(" ");
  await see(/3 running, CPU [1-9]/);
  expect(told("#{alternate_on} #{cursor_flag}")).toBe("1 0");
  await see((shown) => /CPU %\*/.test(shown) && order(shown)?.startsWith("busy") === true);
  keys("a");
  await see((shown) => shown.includes("NAME*") && order(shown) === "busy idle large");
  keys("m");
  await see((shown) => /MEM\w*\*/.test(shown) && order(shown)?.startsWith("large") === true);

  tmux("resize-window", "-t", "top", "-x", "60", "-y", "8");
  const small = await see(
    (shown) => shown.trimEnd().split("\n").length <= 8 && shown.startsWith("3 running"),
  );
  for (const line of small.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(60);
  tmux("resize-window", "-t", "top", "-x", "140", "-y", "30");
  await see((shown) => shown.split("\n").some((line) => line.length > 100));

  keys("a", "k", "k", "k", "l");
  await see(/the-log-of-busy/);
  expect(told("#{alternate_on} #{cursor_flag}")).toBe("0 1");
  keys("C-c");
  await see(/3 running/);
  keys("e");
  await see(/\/ #/);
  keys("echo in-$((40+2))", "Enter");
  await see(/in-42/);
  keys("exit", "Enter");
  await see(/3 running/);
  keys("s");
  await see(/Stop busy\? \(y\/n\)/);
  keys("n");
  await see((shown) => !shown.includes("Stop busy?"));
  keys("s", "y");
  await see(/2 running/);
  await daemon.until("busy", "{{.State.Running}}", "false");
  keys("q");
  const over = await see(/is-over/);
  expect(over).toContain("before-it");
  expect(over).toContain("status-0");
  expect(told("#{alternate_on} #{cursor_flag}")).toBe("0 1");
  const [before, after] = await Promise.all(
    ["before", "after"].map((name) => Bun.file(`${scratch}/${name}`).text()),
  );
  expect(after).toBe(before ?? "");
  await daemon.berth("rm", "-f", "busy", "large", "idle");
}

inTmux(
  "a live table sorts, stops, shows logs, opens a shell, follows the window's size",
  async () => {
    try {
      await oneSession();
    } finally {
      if (existsSync(`${scratch}/socket`)) tmux("kill-server");
    }
  },
);
