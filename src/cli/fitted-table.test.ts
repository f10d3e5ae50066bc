import { expect, test } from "bun:test";
import { fitted } from "./fitted-table.ts";
import { align } from "./table.ts";
import { harmless, harmlessLines } from "./terminal-text.ts";

const fields = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
const cells = [
  ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
  [
    "0123456789ab",
    "registry.example.com/some/where/application:1.2.3",
    '"/docker-entrypoint.…"',
    "3 hours ago",
    "Up 3 hours (healthy)",
    "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
    "web_of_somebody",
  ],
];
const text = align(cells.map((line) => line.join("\t")));
const widest = (shown: string) => Math.max(...shown.split("\n").map((one) => Bun.stringWidth(one)));

test("a table that fits is the one that a pipe gets", () => {
  expect(fitted(cells, fields, text, 500)).toBe(text);
  expect(fitted(cells, fields, text, widest(text))).toBe(text);
});

test("a table that does not fit is as wide as the terminal, and its ids and names are whole while they can be", () => {
  for (const columns of [widest(text) - 1, 140, 120, 100, 80]) {
    const shown = fitted(cells, fields, text, columns);
    expect(widest(shown)).toBeLessThanOrEqual(columns);
    expect(shown).toContain("0123456789ab");
    expect(shown).toContain("web_of_somebody");
    expect(shown).toContain("…");
  }
  expect(fitted(cells, fields, text, 120)).not.toBe(fitted(cells, fields, text, 80));
});

test("below that, ids and names become shorter; a terminal of one column ends nothing", () => {
  const narrow = fitted(cells, fields, text, 60);
  expect(widest(narrow)).toBeLessThanOrEqual(60);
  expect(narrow).not.toContain("web_of_somebody");
  for (const columns of [1, 2, 10])
    expect(fitted(cells, fields, text, columns).split("\n")).toHaveLength(cells.length + 1);
});

test("wide characters are counted as they are shown", () => {
  const wide = [
    ["REPOSITORY", "SIZE"],
    ["漢字漢字漢字漢字漢字漢字", "1MB"],
  ];
  const shown = fitted(wide, ["Repository", "Size"], align(wide.map((one) => one.join("\t"))), 20);
  expect(widest(shown)).toBeLessThanOrEqual(20);
  expect(shown).toContain("漢字漢字");
});

test("what a terminal would obey is spelled out", () => {
  expect(harmless("a\nb\tc\x1b[31m\x07\x9b2J\u202e")).toBe("a\\nb\\tc\\x1b[31m\\x07\\x9b2J\\u202e");
  expect(harmlessLines("a\nb\tc\r\x1b]0;title\x07")).toBe("a\nb\tc\\r\\x1b]0;title\\x07");
  expect(harmless("größer 漢字 🙂 …")).toBe("größer 漢字 🙂 …");
});
