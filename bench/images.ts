/**
 * Images: load, pull, save and list beside dockerd, what the daemons need of memory meanwhile, and what the machine itself
 * needs for the same bytes and files.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createGunzip } from "node:zlib";
import { type ImageShape, removeFiles, writeImage, writeManyImages } from "./image-data.ts";
import { type Bench, ms, type Side, seconds, timed } from "./kit.ts";

const ROUNDS = 3;
const SAMPLE_MS = 100;
const LISTED = 500;
const shapes: readonly (ImageShape & { readonly what: string })[] = [
  { what: "1 GB, 60,000 files", name: "bench/big:1", layers: 1, files: 60_000, bytes: 1e9 },
  { what: "500 MB, 10 layers", name: "bench/ten:1", layers: 10, files: 3000, bytes: 50e6 },
];
const mib = (value: number): string => `${value.toFixed(0)} MiB`;

function must(...argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
}

function treeOf(pid: number): number[] {
  const children = (task: string) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ");
  try {
    const all = readdirSync(`/proc/${pid}/task`).flatMap(children).filter(Boolean);
    return [pid, ...all.flatMap((child) => treeOf(Number(child)))];
  } catch {
    return [];
  }
}

/** Memory that a daemon and its children have written, in MiB. */
function memoryOf(pid: number): number {
  let kib = 0;
  for (const one of treeOf(pid))
    try {
      const text = readFileSync(`/proc/${one}/smaps_rollup`, "utf8");
      kib += Number(/^Private_Dirty:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  return kib / 1024;
}

/** The most memory of a daemon while something goes on, and its slowest answer. */
async function watched(side: Side, work: () => Promise<unknown>): Promise<[number, number]> {
  let [going, memory, slowest] = [true, 0, 0];
  const watch = async () => {
    while (going) {
      memory = Math.max(memory, memoryOf(side.pid));
      const took = await timed(() =>
        fetch("http://x/containers/json", { unix: side.socket }).then((answer) => answer.text()),
      );
      slowest = Math.max(slowest, took);
      await Bun.sleep(SAMPLE_MS);
    }
  };
  const watching = watch();
  await work().finally(() => {
    going = false;
  });
  await watching;
  return [memory, slowest];
}

/** Measures something on both sides in turns, what it made being taken away each time and the disk idle. */
async function compare(
  bench: Bench,
  what: string,
  work: (side: Side) => Promise<unknown>,
  undo: (side: Side) => Promise<unknown>,
): Promise<number> {
  const peaks: [number, number][] = [];
  for (const side of bench.sides) {
    must("sync");
    peaks.push(await watched(side, () => work(side)));
    await undo(side);
  }
  const runs = bench.sides.map((side) => async () => {
    must("sync");
    const took = await timed(() => work(side));
    await undo(side);
    return took;
  });
  const [b = 0, d = 0] = await bench.alternate(runs, ROUNDS);
  bench.report(what, b, d, "dockerd", seconds);
  const [[bm, bs], [dm, ds]] = peaks as [[number, number], [number, number]];
  bench.report(`${what}: peak memory of the daemon`, bm, dm, "dockerd", mib);
  bench.report(`${what}: slowest answer to ps meanwhile`, bs, ds, "dockerd", ms);
  return b;
}

/** Debian's registry, at one address in the host's network and in dockerd's own. */
class Registry {
  private readonly children: Bun.Subprocess[] = [];
  readonly directory: string;
  readonly address: string;

  constructor(bench: Bench) {
    this.directory = `${bench.directory}/registry`;
    const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    this.address = `127.0.0.1:${probe.port}`;
    probe.stop(true);
    mkdirSync(this.directory);
    const config = `${this.directory}/config.yml`;
    writeFileSync(
      config,
      `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${this.directory}/data\nhttp:\n  addr: ${this.address}\n`,
    );
    const inside = ["nsenter", "-t", String(bench.docker.pid), "-n"];
    must(...inside, "ip", "link", "set", "lo", "up");
    const serve = ["docker-registry", "serve", config];
    for (const argv of [serve, [...inside, ...serve]])
      this.children.push(Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "ignore" }));
  }

  /** The largest blob. */
  largest(): string {
    const blobs = `${this.directory}/data/docker/registry/v2/blobs/sha256`;
    const all = readdirSync(blobs).flatMap((two) =>
      readdirSync(`${blobs}/${two}`).map((hex) => `${blobs}/${two}/${hex}/data`),
    );
    return all.sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? "";
  }

  async stop(): Promise<void> {
    for (const child of this.children) child.kill("SIGTERM");
    await Promise.all(this.children.map(({ exited }) => exited));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The machine's own time for a layer: its digest, its files by GNU tar with a sync, and the inflating of its blob. */
async function floor(bench: Bench, layer: string, blob: string): Promise<[number, number, number]> {
  const digest = await timed(async () => {
    const hash = new Bun.CryptoHasher("sha256");
    for await (const piece of Bun.file(layer).stream()) hash.update(piece);
    hash.digest("hex");
  });
  const directory = `${bench.directory}/floor`;
  mkdirSync(directory);
  must("sync");
  const files = await timed(async () => {
    must("tar", "-x", "-f", layer, "-C", directory);
    must("sync", "-f", directory);
  });
  rmSync(directory, { recursive: true });
  const inflate = await timed(async () => {
    const engine = createGunzip({ chunkSize: 256 << 10 });
    const feeding = (async () => {
      for await (const piece of Bun.file(blob).stream())
        if (!engine.write(piece)) await new Promise((resolve) => engine.once("drain", resolve));
      engine.end();
    })();
    for await (const piece of engine) if (piece === undefined) break;
    await feeding;
  });
  return [digest, files, inflate];
}

async function one(
  bench: Bench,
  registry: Registry,
  shape: (typeof shapes)[number],
): Promise<void> {
  const archive = `${bench.directory}/image.tar`;
  const layers = await writeImage(shape, archive);
  const { berth } = bench;
  const remove = (name: string) => async (side: Side) => {
    await bench.once(side.cli("rmi", "-f", name));
    await Bun.sleep(3000);
  };
  const load = (side: Side) => bench.once(side.cli("load", "-i", archive));
  const loaded = await compare(bench, `load, ${shape.what}`, load, remove(shape.name));
  for (const side of bench.sides) await load(side);
  const both = bench.sides.map((side) => side.cli("save", shape.name));
  const [bs = 0, ds = 0] = await bench.compare(both, ROUNDS);
  bench.report(`save, ${shape.what}`, bs, ds, "dockerd", seconds);
  const remote = `${registry.address}/${shape.name}`;
  await bench.once(berth.cli("tag", shape.name, remote));
  await bench.once(berth.cli("push", "-q", remote));
  await bench.once(berth.cli("rmi", "-f", remote));
  for (const side of bench.sides) await remove(shape.name)(side);
  const pull = (side: Side) => bench.once(side.cli("pull", "-q", remote));
  const pulled = await compare(bench, `pull, ${shape.what}`, pull, remove(remote));
  if (shape.layers === 1) {
    const [digest, files, inflate] = await floor(bench, layers[0] ?? "", registry.largest());
    const parts = `SHA-256 ${seconds(digest)}, tar -x with sync ${seconds(files)}`;
    bench.report(`load beside the machine's own time`, loaded, digest + files, parts, seconds, 2);
    const more = `the same and inflating ${seconds(inflate)}`;
    bench.report(`pull beside it`, pulled, digest + files + inflate, more, seconds, 2);
  }
  removeFiles([archive, ...layers]);
}

/** A list of many images. */
async function list(bench: Bench): Promise<void> {
  const archive = `${bench.directory}/many.tar`;
  writeManyImages(archive, LISTED);
  for (const side of bench.sides) await bench.once(side.cli("load", "-q", "-i", archive));
  const runs = bench.sides.map(
    (side) => () =>
      timed(async () => {
        const answer = await fetch("http://x/images/json", { unix: side.socket });
        if (((await answer.json()) as unknown[]).length < LISTED) throw new Error("too few images");
      }),
  );
  const [b = 0, d = 0] = await bench.alternate(runs, bench.rounds);
  bench.report(`GET /images/json with ${LISTED} images`, b, d, "dockerd");
  rmSync(archive);
}

/** Images in, out and listed. */
export async function images(bench: Bench): Promise<void> {
  const registry = new Registry(bench);
  try {
    for (const shape of shapes) await one(bench, registry, shape);
  } finally {
    await registry.stop();
  }
  await list(bench);
}
