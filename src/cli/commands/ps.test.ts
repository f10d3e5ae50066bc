/**
 * The list of containers, as docker prints it.
 */
import { expect, test } from "bun:test";
import type { Port } from "../../spec/engine-api.ts";
import { showPorts } from "./ps.ts";

const published = (IP: string, PublicPort: number, PrivatePort: number): Port => ({
  IP,
  PublicPort,
  PrivatePort,
  Type: "tcp",
});

test("ports with another number on the host are shown one by one, by the container's port", () => {
  const ports = [8080, 8081].flatMap((port) => [
    published("::", port, port - 8000),
    published("0.0.0.0", port, port - 8000),
  ]);
  expect(showPorts(ports)).toBe(
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8081->81/tcp, [::]:8081->81/tcp",
  );
});

test("neighbours that keep their number are a range, and come first", () => {
  const ports = [
    published("0.0.0.0", 90, 9),
    published("0.0.0.0", 80, 80),
    published("0.0.0.0", 81, 81),
  ];
  expect(showPorts(ports)).toBe("0.0.0.0:80-81->80-81/tcp, 0.0.0.0:90->9/tcp");
});

test("unpublished ports", () => {
  const ports: Port[] = [22, 80, 81].map((PrivatePort) => ({ PrivatePort, Type: "tcp" }));
  expect(showPorts(ports)).toBe("80-81/tcp, 22/tcp".split(", ").toReversed().join(", "));
});
