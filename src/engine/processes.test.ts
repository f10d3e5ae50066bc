import { expect, test } from "bun:test";
import { selectProcesses } from "./processes.ts";

test("ps's rows are chosen by process, and the command keeps its blanks", () => {
  const output =
    "UID   PID  PPID CMD\nroot    1     0 init\nroot  712   700 sh -c sleep  9\nroot  7120 1 other\n";
  expect(selectProcesses(output, new Set([712]))).toEqual({
    Titles: ["UID", "PID", "PPID", "CMD"],
    Processes: [["root", "712", "700", "sh -c sleep 9"]],
  });
  expect(() => selectProcesses("UID CMD\n", new Set())).toThrow("PID field");
});
