/** Runs the bridge's tests in a network namespace of their own: the machine's own network is not theirs to change. */
import { expect, test } from "bun:test";

test.each(["nftables", "iptables"])(
  "the bridge on the real kernel, in a host of its own: %s",
  (backend) => {
    const words = [
      "unshare",
      "--net",
      process.execPath,
      "test",
      "--timeout",
      "60000",
      "./src/network/bridge.netns.ts",
    ];
    const child = Bun.spawnSync(words, {
      stdin: "ignore",
      env: { ...process.env, BERTH_TEST_FIREWALL: backend },
    });
    // Set apart, so that nobody takes it for what the outer run says.
    const said = (child.stdout.toString() + child.stderr.toString()).replace(/^/gm, "  | ");
    if (child.exitCode !== 0) console.error(said);
    expect(child.exitCode).toBe(0);
  },
  120_000,
);
