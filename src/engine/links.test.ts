import { expect, test } from "bun:test";
import { linkVariables } from "./links.ts";

test("variables tell of ports, runs of ports, the name and the other's environment", () => {
  const ExposedPorts = { "443/tcp": {}, "53/udp": {}, "53/tcp": {} };
  const Env = ["SECRET=1", "HOME=/x", "PATH=/y", "EMPTY"];
  expect(linkVariables("my-db", "web", "10.0.0.2", { ExposedPorts, Env })).toEqual([
    "MY_DB_PORT=tcp://10.0.0.2:53",
    ...["MY_DB_PORT_53_TCP=tcp://10.0.0.2:53", "MY_DB_PORT_53_TCP_ADDR=10.0.0.2"],
    ...["MY_DB_PORT_53_TCP_PORT=53", "MY_DB_PORT_53_TCP_PROTO=tcp"],
    ...["MY_DB_PORT_53_UDP=udp://10.0.0.2:53", "MY_DB_PORT_53_UDP_ADDR=10.0.0.2"],
    ...["MY_DB_PORT_53_UDP_PORT=53", "MY_DB_PORT_53_UDP_PROTO=udp"],
    ...["MY_DB_PORT_443_TCP=tcp://10.0.0.2:443", "MY_DB_PORT_443_TCP_ADDR=10.0.0.2"],
    ...["MY_DB_PORT_443_TCP_PORT=443", "MY_DB_PORT_443_TCP_PROTO=tcp"],
    "MY_DB_NAME=/web/my-db",
    "MY_DB_ENV_SECRET=1",
  ]);
});

test("three ports in a row are also told as a run, two are not", () => {
  const of = (...ports: string[]) =>
    linkVariables("a", "b", "1.1.1.1", {
      ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])),
    }).filter((item) => item.includes("_START") || item.includes("_END"));
  expect(of("5000/udp", "5001/udp")).toEqual([]);
  expect(of("80/tcp", "5000/udp", "5001/udp", "5002/udp", "9000/tcp")).toEqual([
    "A_PORT_5000_UDP_START=udp://1.1.1.1:5000",
    "A_PORT_5000_UDP_PORT_START=5000",
    "A_PORT_5000_UDP_END=udp://1.1.1.1:5002",
    "A_PORT_5000_UDP_PORT_END=5002",
  ]);
});

test("a container without ports is told by name alone", () => {
  expect(linkVariables("a", "b", "1.1.1.1", {})).toEqual(["A_NAME=/b/a"]);
});
