/** What a RUN has changed is packed beside the daemon's event loop, which has others to answer. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile([]);

/** What each thread of a process has had of processors, in ticks, by its id; and which are Workers. */
function threadsOf(pid: number) {
  const found = new Map<string, { ticks: number; isWorker: boolean }>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    } catch {
      // It has ended.
      continue;
    }
    const end = stat.lastIndexOf(")");
    const fields = stat.slice(end + 2).split(" ");
    const isWorker = stat.slice(stat.indexOf("(") + 1, end) === "Worker";
    found.set(thread, { ticks: Number(fields[11]) + Number(fields[12]), isWorker });
  }
  return found;
}

test("a RUN that writes 20,000 files costs the event loop a small part of what it costs threads", async () => {
  expect((await daemon.berth("run", "--rm", "busybox", "true")).status).toBe(0);
  const pid = daemon.pid;
  const before = threadsOf(pid).get(String(pid))?.ticks ?? 0;
  // Threads end when there is nothing to do: the most that was seen of each counts.
  const seen: ReturnType<typeof threadsOf> = new Map();
  const look = () => {
    for (const [thread, state] of threadsOf(pid)) seen.set(thread, state);
  };
  const timer = setInterval(look, 50);
  const files =
    "for i in $(seq 200); do mkdir -p /m/$i; for j in $(seq 100); do : > /m/$i/$j; done; done";
  const stdin = tarOf({ Dockerfile: `FROM busybox\nRUN ${files}\nRUN find /m | wc -l\n` });
  const built = await daemon.berthWith({ stdin }, "build", "--progress", "plain", "-");
  clearInterval(timer);
  look();
  expect(built.status).toBe(0);
  expect(built.out + built.err).toContain("20201");
  const own = (seen.get(String(pid))?.ticks ?? 0) - before;
  const workers = [...seen.values()].filter(({ isWorker }) => isWorker);
  const others = workers.reduce((sum, { ticks }) => sum + ticks, 0);
  expect(own).toBeLessThan(others / 3);
});
