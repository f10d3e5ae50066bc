/**
 * Runs the tests with hosts that drop what is forwarded, in a network namespace of their own; in a mount namespace, too, since ufw
 * writes down what it is told.
 */
import { expect, test } from "bun:test";

const OWN_FILES = ["/etc/ufw", "/etc/default"];

test("hosts that forward nothing by themselves", () => {
  const file = "./tests/e2e/firewall-closed.netns.ts";
  const own = OWN_FILES.map(
    (path) => `if [ -e ${path} ]; then
      kept=$(mktemp -d); cp -a ${path}/. $kept/; mount -t tmpfs tmpfs ${path}; cp -a $kept/. ${path}/; rm -r $kept
    fi`,
  );
  const script = `set -e\n${own.join("\n")}\nexec "$@"`;
  const words = [
    ...["unshare", "--net", "--mount", "sh", "-c", script, "sh"],
    ...[process.execPath, "test", "--timeout", "60000", file],
  ];
  const child = Bun.spawnSync(words, { stdin: "ignore" });
  // Set apart, so that nobody takes it for what the outer run says.
  const said = (child.stdout.toString() + child.stderr.toString()).replace(/^/gm, "  | ");
  if (child.exitCode !== 0) console.error(said);
  expect(child.exitCode).toBe(0);
}, 300_000);
