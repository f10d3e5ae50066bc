/** Published ports as no client should send them: wishes that can be carried out, or a Fault. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { portWishes } from "./ports.ts";

const MAX_PORT = 65535;
const texts = fc.oneof(
  fc.constantFrom(
    "",
    "80",
    "0",
    "1-3",
    "3-1",
    "70000",
    "65530-65540",
    "-",
    "80-",
    "a",
    " 80",
    "1e3",
  ),
  fc.constantFrom(
    "127.0.0.1",
    "::1",
    "::",
    "0.0.0.0",
    "1.2.3",
    "00080",
    "80/tcp",
    "/",
    "\n",
    "__proto__",
  ),
  damagedText(["8080-8082", "127.0.0.1", "80/udp"]),
);
const keys = fc.oneof(
  fc.constantFrom("80/tcp", "0/tcp", "65536/udp", "80", "80/icmp", "__proto__"),
  texts,
);

test("a wish has ports between 1 and 65535 and a range that goes upwards", async () => {
  const bindings = fc.array(fc.record({ HostIp: texts, HostPort: texts }, { requiredKeys: [] }));
  let made = 0;
  await checkAll(fc.tuple(fc.dictionary(keys, bindings), fc.boolean()), async ([map, all]) => {
    const hostConfig = { PortBindings: map, PublishAllPorts: all };
    const wishes = await valueOrFault(() =>
      portWishes({ ExposedPorts: { "81/sctp": {} } }, hostConfig),
    );
    for (const { containerPort, hostPorts, protocol } of wishes ?? []) {
      made++;
      expect(containerPort).toBeGreaterThanOrEqual(1);
      expect(containerPort).toBeLessThanOrEqual(MAX_PORT);
      expect(hostPorts[1]).toBeLessThanOrEqual(MAX_PORT);
      expect(hostPorts[0]).toBeLessThanOrEqual(hostPorts[1]);
      expect(["tcp", "udp", "sctp"]).toContain(protocol);
    }
  });
  expect(made).toBeGreaterThan(5);
});
