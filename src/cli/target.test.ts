import { expect, test } from "bun:test";
import { globalFlags } from "./app.ts";
import { parseFlags } from "./flags.ts";
import { targetFlags, targetOf } from "./target.ts";

const hostOf = async (argv: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  (await targetOf(targetFlags(parseFlags(argv, globalFlags, false)), env)).url;

test("an empty --host is the default socket, whatever else says one", async () => {
  const elsewhere = { DOCKER_HOST: "tcp://192.0.2.1:2375", DOCKER_CONTEXT: "other" };
  expect(await hostOf([], elsewhere)).toBe("tcp://192.0.2.1:2375");
  for (const empty of ["", " "])
    expect(await hostOf(["-H", empty], elsewhere)).toBe("unix:///run/berth/berth.sock");
  expect(await hostOf(["-H", " tcp://192.0.2.2:1 "], elsewhere)).toBe("tcp://192.0.2.2:1");
  await expect(hostOf(["-H", "", "--context", "other"])).rejects.toThrow(
    "conflicting options: cannot specify both --host and --context",
  );
});
