/** What addresses a network namespace has, as the kernel says: read from /proc, so that a sample takes no process. */
import { readFileSync, readlinkSync } from "node:fs";

const ENDS = new Set(["127.0.0.1", "::1"]);

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function six(hex: string): string {
  const groups = hex.match(/.{4}/g) ?? [];
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

/** All addresses of the namespace of a process, of both families, without loopback and link-local ones; nothing of a process that has gone. */
export function addressesOfProcess(pid: number): string[] {
  const lines = read(`/proc/${pid}/net/fib_trie`).split("\n");
  const four = lines.flatMap((line, at) =>
    line.includes("/32 host LOCAL") ? [/[\d.]+$/.exec(lines[at - 1] ?? "")?.[0] ?? ""] : [],
  );
  const sixes = read(`/proc/${pid}/net/if_inet6`)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("fe80"))
    .map((line) => six(line.slice(0, 32)));
  return [...new Set([...four, ...sixes])].filter((one) => !ENDS.has(one)).toSorted();
}

/** The network namespace of a process; undefined when it has gone. */
export function namespaceOfProcess(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}
