/**
 * What runs and what it uses, from one look to the next. Pure.
 */
import type { ContainerStatsResponse, ContainerSummary } from "../../spec/engine-api.ts";
import { blockBytes, memoryUsage, networkBytes } from "../container-usage.ts";

/** So many looks are kept for the little curve. */
export const HISTORY = 24;

/** What the table may be sorted by; names upwards, everything else downwards. */
export const sortings = ["cpu", "memory", "network", "block", "name"] as const;
/** One of them. */
export type Sorting = (typeof sortings)[number];

/** One container's use. Rates are bytes a second. */
export interface Usage {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly status: string;
  /** Of one processor. */
  readonly cpuPercent: number;
  readonly cpuHistory: readonly number[];
  readonly memory: number;
  readonly memoryLimit: number;
  readonly received: number;
  readonly sent: number;
  readonly readRate: number;
  readonly writeRate: number;
  readonly pids: number;
}

/** Counters as they stood at a look. */
interface Counters {
  readonly at: number;
  readonly cpu: number;
  readonly received: number;
  readonly sent: number;
  readonly read: number;
  readonly written: number;
}

function countersOf(stats: ContainerStatsResponse, at: number): Counters {
  const cpu = stats.cpu_stats?.cpu_usage?.total_usage ?? 0;
  return { at, cpu, ...networkBytes(stats), ...blockBytes(stats) };
}

/** Remembers what was seen. */
export class Watch {
  private readonly before = new Map<string, Counters>();
  private readonly histories = new Map<string, number[]>();

  /** One look: what runs, with what each uses (undefined: it could not be asked), at a time in milliseconds. */
  look(
    containers: readonly ContainerSummary[],
    statsOf: (id: string) => ContainerStatsResponse | undefined,
    at: number,
  ): Usage[] {
    const ids = new Set(containers.map(({ Id = "" }) => Id));
    for (const known of [this.before, this.histories])
      for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
    return containers.map((container) => this.usageOf(container, statsOf(container.Id ?? ""), at));
  }

  private usageOf(
    { Id: id = "", Names, Image = "", Status = "" }: ContainerSummary,
    stats: ContainerStatsResponse | undefined,
    at: number,
  ): Usage {
    const name = (Names?.[0] ?? id.slice(0, 12)).replace(/^\//, "");
    const now = stats === undefined ? undefined : countersOf(stats, at);
    const then = this.before.get(id);
    // A counter that goes back is another container life's: nothing is known of the time between.
    const rate = (key: Exclude<keyof Counters, "at">) =>
      now === undefined || then === undefined || now.at <= then.at
        ? 0
        : Math.max(0, (now[key] - then[key]) / ((now.at - then.at) / 1000));
    const cpuPercent = rate("cpu") / 1e7;
    const history = [...(this.histories.get(id) ?? []), cpuPercent].slice(-HISTORY);
    this.histories.set(id, history);
    if (now !== undefined) this.before.set(id, now);
    return {
      ...{ id, name, image: Image, status: Status, cpuPercent, cpuHistory: history },
      memory: stats === undefined ? 0 : memoryUsage(stats),
      memoryLimit: stats?.memory_stats?.limit ?? 0,
      received: rate("received"),
      sent: rate("sent"),
      readRate: rate("read"),
      writeRate: rate("written"),
      pids: stats?.pids_stats?.current ?? 0,
    };
  }
}

const keyOf: Readonly<Record<Exclude<Sorting, "name">, (usage: Usage) => number>> = {
  cpu: ({ cpuPercent }) => cpuPercent,
  memory: ({ memory }) => memory,
  network: ({ received, sent }) => received + sent,
  block: ({ readRate, writeRate }) => readRate + writeRate,
};

/** In the order that was asked for; what is equal, by name. */
export function sorted(usages: readonly Usage[], by: Sorting): Usage[] {
  const byName = (a: Usage, b: Usage) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  if (by === "name") return usages.toSorted(byName);
  const key = keyOf[by];
  return usages.toSorted((a, b) => key(b) - key(a) || byName(a, b));
}
