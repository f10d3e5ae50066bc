import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { profileText } from "./apparmor.ts";

const parser = Bun.which("apparmor_parser", { PATH: "/usr/sbin:/sbin" });
const abi = "/etc/apparmor.d/abi/3.0";

test.skipIf(parser === null || !existsSync(abi))(
  "AppArmor's own parser takes the profile, and compiles it (skipped without apparmor)",
  () => {
    const parse = (text: string) =>
      Bun.spawnSync(
        [parser ?? "", "--skip-kernel-load", "--skip-cache", "--features-file", abi, "--stdout"],
        { stdin: Buffer.from(text) },
      );
    const { stdout, stderr, exitCode } = parse(profileText("berth-unit"));
    expect([exitCode, stderr.toString()]).toEqual([0, ""]);
    expect(stdout.toString("latin1")).toContain("berth-unit\0");
    expect(
      parse(profileText("berth-unit").replace("capability,", "capabilities,")).exitCode,
    ).not.toBe(0);
  },
);
