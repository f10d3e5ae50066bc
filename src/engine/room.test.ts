import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import type { Container } from "./container.ts";
import type { EngineDeps } from "./deps.ts";
import { runDirectory } from "./places.ts";
import { checkRoom } from "./room.ts";

test("what a killed daemon has left is in nobody's way, and nothing is left again", () => {
  const root = mkdtempSync("/tmp/berth-room-");
  try {
    const settings = {
      containersDirectory: `${root}/containers`,
      execRoot: root,
      mountPoint: root,
    };
    const deps = { settings, database: { insist() {} } } as unknown as EngineDeps;
    const container = { record: { id: "c".repeat(64) } } as Container;
    const places = [
      `${settings.containersDirectory}/${container.record.id}`,
      runDirectory(deps.settings, container.record.id),
    ];
    for (const place of places) {
      mkdirSync(place, { recursive: true });
      writeFileSync(`${place}/room`, "half");
    }
    checkRoom(deps, container);
    expect(places.map((place) => readdirSync(place))).toEqual([[], []]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
