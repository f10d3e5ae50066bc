/** Runs the tests with others' firewalls in a network namespace of their own: the machine's own rules are not theirs to flush. */
import { expect, test } from "bun:test";

test("others' firewalls beside berth's, in a host of its own", () => {
  const file = "./tests/e2e/firewall-others.netns.ts";
  const words = ["unshare", "--net", process.execPath, "test", "--timeout", "60000", file];
  const child = Bun.spawnSync(words, { stdin: "ignore" });
  // Set apart, so that nobody takes it for what the outer run says.
  const said = (child.stdout.toString() + child.stderr.toString()).replace(/^/gm, "  | ");
  if (child.exitCode !== 0) console.error(said);
  expect(child.exitCode).toBe(0);
}, 300_000);
