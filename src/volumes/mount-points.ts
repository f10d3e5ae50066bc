/**
 * What is mounted where, as this process sees it.
 */
import { readFileSync } from "node:fs";

/** The paths of all mounts. */
export function mountPoints(): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  return lines.map((line) =>
    (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    ),
  );
}
