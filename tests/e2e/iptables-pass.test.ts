/**
 * A short pass of the test of networks under load on the firewall's iptables backend; BERTH_TEST_FIREWALL=iptables runs that, and any
 * other file, in full.
 */
import { expect, test } from "bun:test";

test("network-load on the iptables backend", () => {
  const short = { BERTH_LOAD_CONTAINERS: "4", BERTH_LOAD_DEATHS: "1" };
  const file = "./tests/e2e/network-load.test.ts";
  const child = Bun.spawnSync([process.execPath, "test", "--timeout", "60000", file], {
    env: { ...process.env, ...short, BERTH_TEST_FIREWALL: "iptables" },
    stdin: "ignore",
  });
  // Set apart, so that nobody takes it for what the outer run says.
  const said = (child.stdout.toString() + child.stderr.toString()).replace(/^/gm, "  | ");
  if (child.exitCode !== 0) console.error(said);
  expect(child.exitCode).toBe(0);
}, 300_000);
