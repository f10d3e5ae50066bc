/**
 * `bench/run [SECTION...]`: berth beside dockerd and runc in one run, on this machine. Prints a table; without sections
 * named, all run, and bench/RESULTS.md is written.
 *
 * Each comparison alternates between its candidates, so that what else the machine does falls on all alike; medians are
 * compared. dockerd gets its own socket, roots and bridge address, and is stopped again.
 */
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { builds } from "./build.ts";
import { images } from "./images.ts";
import { Bench, root } from "./kit.ts";
import { copy, exec, hundred, list } from "./life.ts";
import { logs } from "./logs.ts";
import { memory } from "./memory.ts";
import { connects, names, networkStarts, ports } from "./network.ts";
import { client, many, parallel, starts, userns } from "./starts.ts";

const sections = {
  starts,
  client,
  userns,
  memory,
  parallel,
  exec,
  list,
  hundred,
  copy,
  many,
  logs,
  images,
  builds,
  networkStarts,
  connects,
  names,
  ports,
};

function results({ rows, rounds }: Bench): string {
  const cpu = cpus();
  const table = rows
    .map((row) => `| ${row.what} | ${row.berth} | ${row.other} | ${row.ratio} |`)
    .join("\n");
  return `# Results

Written by \`bench/run\` on ${new Date().toISOString().slice(0, 10)}: ${cpu.length} cores (${cpu[0]?.model.trim()}), Linux ${release()}. Medians of ${rounds} alternating
runs (what takes seconds: of 3 or 5; memory, processor time and parallel stops: one). The last column says how many times
the other's figure is berth's.

| what | berth | other | ratio |
|---|---|---|---|
${table}
`;
}

const wanted = process.argv.slice(2);
for (const name of wanted)
  if (!(name in sections))
    throw new Error(`no section ${name}; there are ${Object.keys(sections).join(", ")}`);
const bench = new Bench();
let failed = 0;
try {
  await bench.ready();
  for (const [name, section] of Object.entries(sections))
    if (wanted.length === 0 || wanted.includes(name))
      try {
        await section(bench);
      } catch (error) {
        // What others have measured is not lost with it.
        console.error(`section ${name}:`, error);
        failed = 1;
      }
  if (wanted.length === 0) {
    writeFileSync(join(root, "bench/RESULTS.md"), results(bench));
    console.log("\nwritten to bench/RESULTS.md");
  }
} finally {
  await bench.close();
}
process.exitCode = failed;
