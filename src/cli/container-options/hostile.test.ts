/** Values of `-p`, `--expose` and `--network` that make no sense: an error in words, never one of the program's own. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText } from "../../../tests/kits/fuzz.ts";
import { parseFlags } from "../flags.ts";
import { containerFlags } from "./flags.ts";
import { parsePorts } from "./ports.ts";
import { createRequest } from "./request.ts";

const MAX_PORT = 65535;

/** A value, or undefined for an error with words. Whatever else is thrown fails the test. */
function valueOrWords<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error.name !== "Error") throw error;
    expect(error.message.length).toBeGreaterThan(5);
    return undefined;
  }
}

const parts = fc.constantFrom(
  ...[
    "80",
    "8080",
    "0",
    "1-3",
    "3-1",
    "70000",
    "65530-65540",
    "",
    "-",
    "80-",
    "a",
    "127.0.0.1",
    "[::1]",
    "::",
  ],
  ...[
    "0.0.0.0",
    "[",
    "[::1",
    ":",
    "/tcp",
    "/udp",
    "/sctp",
    "/",
    "/TCP",
    "/x",
    "//",
    " ",
    "-1",
    "1e3",
    "00080",
  ],
  ...["target=80", ",published=1", ",", "=", ",protocol=udp", "mode=host", "999999999999999999999"],
);
const specs = fc.oneof(
  fc.array(parts, { minLength: 1, maxLength: 5 }).map((list) => list.join("")),
  fc.array(parts, { minLength: 1, maxLength: 4 }).map((list) => list.join(":")),
  damagedText(["127.0.0.1:8080-8082:80-82/udp", "[::1]:5000:5000", "target=80,published=81"]),
);

test("a published port is refused, or is one of the 65536 on both sides", async () => {
  await checkAll(fc.tuple(specs, specs), ([publish, expose]) => {
    valueOrWords(() => parsePorts([], [expose]));
    const ports = valueOrWords(() => parsePorts([publish], []));
    if (ports === undefined) return;
    expect(Object.keys(ports.exposed)).toEqual(Object.keys(ports.bindings));
    for (const [key, bindings] of Object.entries(ports.bindings)) {
      const [, port, protocol] = /^(\d{1,5})\/(tcp|udp|sctp)$/.exec(key) ?? [];
      expect(protocol, `${publish} gives ${key}`).toBeDefined();
      expect(Number(port)).toBeLessThanOrEqual(MAX_PORT);
      for (const { HostPort } of bindings)
        for (const one of HostPort.split("-").filter(Boolean))
          expect(Number(one)).toBeLessThanOrEqual(MAX_PORT);
    }
  });
});

test("a network of --network is refused, or a request that can be sent", async () => {
  const words = fc.constantFrom(
    ...[
      "name=front",
      "alias=web",
      "ip=10.0.0.1",
      "ip6=::1",
      "mac-address=02:00:00:00:00:01",
      "gw-priority=1",
    ],
    ...[
      "gw-priority=x",
      "gw-priority=",
      "gw-priority=1.5",
      "driver-opt=a=b",
      'driver-opt="a,b"',
      "driver-opt",
      "x=y",
    ],
    ...["=", "", '"', "alias", "__proto__=1", "name=", "name=__proto__"],
  );
  const values = fc.oneof(
    fc.array(words, { minLength: 1, maxLength: 5 }).map((list) => list.join(",")),
    damagedText(["name=front,alias=web,gw-priority=2", "front", "container:web"]),
  );
  await checkAll(values, (value) => {
    const parsed = valueOrWords(() =>
      parseFlags(["--network", value, "busybox"], containerFlags, false),
    );
    const request = parsed && valueOrWords(() => createRequest(parsed));
    for (const settings of Object.values(request?.NetworkingConfig.EndpointsConfig ?? {})) {
      const { GwPriority = 0, Aliases = [] } = settings;
      expect(Number.isInteger(GwPriority), value).toBe(true);
      for (const alias of Aliases) expect(typeof alias).toBe("string");
    }
  });
});
