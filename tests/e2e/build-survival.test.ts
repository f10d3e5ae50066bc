/** Builds whose client goes away, or whose daemon is killed, at any moment: nothing is left of them, and the next one is well. */
import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type ClientRequest, request } from "node:http";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const seed = Number(process.env.BERTH_TEST_SEED ?? Math.floor(Math.random() * 1e9));
const ROUNDS = Number(process.env.BERTH_TEST_ROUNDS ?? 5);
console.log(`builds that are killed: BERTH_TEST_SEED=${seed}`);

const asked = new Set<string>();
/** Answers nobody. */
const silent = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  idleTimeout: 0,
  fetch(one) {
    asked.add(new URL(one.url).pathname);
    return new Promise<Response>(() => {});
  },
});

const daemon = daemonOfFile();
afterAll(() => silent.stop(true));
const data = `${daemon.directory}/data`;

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

const names = (path: string) => (existsSync(path) ? readdirSync(path) : []);

/** What a build has only while it goes on. */
function underWay(): string[] {
  const places = [
    ...["data/build/contexts", "data/content/ingest", "data/overlay2/new", "data/build/trash"],
    ...["exec/build", "exec/c"],
  ];
  return places.flatMap((place) =>
    names(`${daemon.directory}/${place}`).map((name) => `${place}/${name}`),
  );
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what}: ${underWay()} ${daemon.log.slice(-2000)}`);
    await Bun.sleep(20);
  }
}

/** A context as an archive, from files made by `make` in a directory. */
function archive(make: (directory: string) => void): Uint8Array {
  const directory = scratchDirectory("context-");
  try {
    make(directory);
    const { stdout } = Bun.spawnSync(["tar", "-C", directory, "-S", "-c", "."]);
    return stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const only = (dockerfile: string) =>
  archive((directory) => writeFileSync(`${directory}/Dockerfile`, dockerfile));

/** A client that may go away. */
class Client {
  said = "";
  private readonly call: ClientRequest;

  constructor(query: string, body: Uint8Array, whole = true) {
    this.call = request({ socketPath: daemon.socket, method: "POST", path: `/build?${query}` });
    this.call.on("error", () => {});
    this.call.on("response", (answer) => {
      answer.on("error", () => {});
      answer.on("data", (bytes: Buffer) => {
        this.said += bytes.toString();
      });
    });
    if (whole) this.call.end(body);
    else this.call.write(body);
  }

  leave(): void {
    this.call.destroy();
  }
}

/** A file that would take days to be read. */
const ENDLESS = 8 * 2 ** 40;

/** An archive in an archive; what is in it has no end. */
function bomb(): Uint8Array {
  const inner = archive((directory) => {
    writeFileSync(`${directory}/f`, "");
    truncateSync(`${directory}/f`, ENDLESS);
  });
  return archive((directory) => {
    writeFileSync(`${directory}/bomb.tar`, inner);
    writeFileSync(`${directory}/Dockerfile`, "FROM scratch\nADD bomb.tar /x/\n");
  });
}

function endless(): Uint8Array {
  return archive((directory) => {
    writeFileSync(`${directory}/f`, "");
    truncateSync(`${directory}/f`, ENDLESS);
    writeFileSync(`${directory}/Dockerfile`, "FROM scratch\nCOPY f /f\n");
  });
}

interface Leaving {
  readonly name: string;
  readonly begin: () => Client;
  /** When the client goes. */
  readonly when: (client: Client) => boolean;
}

const address = (path: string) => `http://127.0.0.1:${silent.port}${path}`;

const leavings: readonly Leaving[] = [
  {
    name: "while it sends the context",
    begin: () => new Client("", endless().subarray(0, 3000), false),
    when: () => names(`${data}/build/contexts`).length > 0,
  },
  {
    name: "while a file without an end is read",
    begin: () => new Client("", endless()),
    when: ({ said }) => said.includes("COPY f"),
  },
  {
    name: "while a layer without an end is written",
    begin: () => new Client("", bomb()),
    when: () =>
      names(`${data}/content/ingest`).some((name) => {
        const info = statSync(`${data}/content/ingest/${name}`, { throwIfNoEntry: false });
        return (info?.size ?? 0) > 2 ** 20;
      }),
  },
  {
    name: "while a command runs",
    begin: () => new Client("", only("FROM busybox\nRUN echo begun; sleep 1000\n")),
    when: ({ said }) => said.includes('"begun'),
  },
  {
    name: "while ADD fetches",
    begin: () => new Client("", only(`FROM scratch\nADD ${address("/add")} /f\n`)),
    when: () => asked.has("/add"),
  },
  {
    name: "while the context is fetched",
    begin: () => new Client(`remote=${encodeURIComponent(address("/context"))}`, new Uint8Array(0)),
    when: () => asked.has("/context"),
  },
];

test.each(leavings.map((one) => [one.name, one] as const))(
  "a client goes away %s",
  async (_, { begin, when }) => {
    await until("nothing is under way before", () => underWay().length === 0);
    const client = begin();
    await until("the moment comes", () => when(client));
    client.leave();
    await until("nothing is left", () => underWay().length === 0);
    const well = new Client("q=1", only("FROM scratch\nLABEL a=b\n"));
    await until("the next build is well", () => well.said.includes("sha256:"));
  },
  60_000,
);

test("a client goes away while others do what it waits for: they go on, and it leaves nothing", async () => {
  const gate = (id: string) =>
    `RUN --mount=type=cache,target=/g,id=${id} echo begun; while [ ! -e /g/go ]; do usleep 20000; done; echo "done" > /d\n`;
  const locked = (text: string) =>
    `FROM busybox\nRUN --mount=type=cache,target=/l,sharing=locked,id=l --mount=type=cache,target=/g,id=lg ${text}\n`;
  const wait = "while [ ! -e /g/go ]; do usleep 20000; done";
  const pairs = [
    { id: "same", first: `FROM busybox\n${gate("same")}`, second: `FROM busybox\n${gate("same")}` },
    { id: "lg", first: locked(`echo begun; ${wait}`), second: locked("echo second") },
  ];
  for (const { id, first, second } of pairs) {
    const working = new Client("", only(first));
    await until("the first works", () => working.said.includes('"begun'));
    const [one] = names(`${data}/build/contexts`);
    const waiting = new Client("", only(second));
    await until("the second waits", () => waiting.said.includes("RUN --mount"));
    waiting.leave();
    await until("nothing of the second is left", () => {
      const now = names(`${data}/build/contexts`);
      return now.length === 1 && now[0] === one;
    });
    const mounts = `${data}/build/mounts`;
    for (const name of names(mounts).filter((entry) => entry.endsWith(".id")))
      if ((await Bun.file(`${mounts}/${name}`).text()) === id)
        writeFileSync(`${mounts}/${name.slice(0, -3)}/go`, "");
    await until("the first is done", () => working.said.includes("Successfully built"));
  }
}, 60_000);

test("commands that want two caches for one at a time, in other orders or twice, do not wait for ever", async () => {
  const mount = (id: string, at: string) =>
    `--mount=type=cache,sharing=locked,id=${id},target=/${at}`;
  const stage = (index: number, [a, b]: readonly [string, string]) =>
    `FROM busybox AS s${index}\nRUN ${mount(a, "a")} ${mount(b, "b")} echo ${index} > /f${index}; usleep 50000\n`;
  const orders = [
    ["x", "y"],
    ["y", "x"],
    ["x", "x"],
    ["y", "x"],
    ["x", "y"],
  ] as const;
  const copies = orders.map((_, index) => `COPY --from=s${index} /f${index} /\n`).join("");
  const client = new Client(
    "",
    only(`${orders.map((o, i) => stage(i, o)).join("")}FROM busybox\n${copies}`),
  );
  await until("all are done", () => client.said.includes("Successfully built"));
}, 60_000);

const DOCKERFILE = `FROM busybox AS a
RUN --mount=type=cache,target=/c,id=c echo >> /c/n && head -c 200000 /dev/urandom > /a
FROM busybox AS b
COPY . /b/
ADD data.tar.gz /b/x/
RUN --mount=type=secret,id=s --mount=type=bind,target=/here cmp /here/changed /b/changed && ls -R /b > /l
FROM busybox
COPY --from=a /a /a
COPY --from=b /b /b
WORKDIR /w/x
RUN md5sum $(find /b -type f) > sums
`;

async function expectSound(when: string): Promise<void> {
  await until(`${when}: nothing is under way`, () => underWay().length === 0);
  const check = await daemon.berth("system", "check");
  expect([when, check.out, check.status]).toEqual([when, "Everything is as it should be.\n", 0]);
  const { text } = await daemon.api("GET", "/system/df?disk=1");
  const parts = JSON.parse(text).Berth.DataRoot.Parts as { Kind: string; Orphaned: number }[];
  expect([when, parts.filter(({ Orphaned }) => Orphaned > 0)]).toEqual([when, []]);
}

test("kill -9 of the daemon at any moment of builds and of pruning: everything is sound, and the next build is right", async () => {
  const directory = scratchDirectory("context-");
  try {
    writeFileSync(`${directory}/Dockerfile`, DOCKERFILE);
    writeFileSync(`${directory}/secret`, "secret");
    mkdirSync(`${directory}/many`);
    for (let at = 0; at < 300; at++) writeFileSync(`${directory}/many/${at}`, `${at}`.repeat(99));
    Bun.spawnSync(["tar", "-C", directory, "-czf", `${directory}/data.tar.gz`, "many"]);
    writeFileSync(`${directory}/changed`, "before");
    const args = ["build", "-t", "killed", "--secret", `id=s,src=${directory}/secret`, directory];
    let took = performance.now();
    expect((await daemon.berth(...args)).status).toBe(0);
    took = performance.now() - took;
    for (let round = 0; round < ROUNDS; round++) {
      const when = `round ${round}`;
      writeFileSync(`${directory}/changed`, when);
      if (round % 3 === 2) await daemon.berth("builder", "prune", "-af");
      const acting =
        round % 4 === 3 ? daemon.berth("builder", "prune", "-af") : daemon.berth(...args);
      await Promise.race([acting, Bun.sleep(random() * took)]);
      await daemon.kill();
      await acting;
      await daemon.start();
      await expectSound(when);
    }
    const last = await daemon.berth(...args);
    expect([last.status, last.err]).toEqual([0, expect.any(String)]);
    const seen = await daemon.berth("run", "--rm", "killed", "cat", "/b/changed", "/b/x/many/7");
    expect(seen.out).toBe(`round ${ROUNDS - 1}${"7".repeat(99)}`);
    await daemon.berth("rmi", "killed");
    await daemon.berth("builder", "prune", "-af");
    await expectSound("after everything");
    for (const path of ["content/blobs/sha256", "build/kept", "build/mounts"])
      expect([path, names(`${data}/${path}`)]).toEqual([path, expect.any(Array)]);
    expect([...names(`${data}/build/kept`), ...names(`${data}/build/mounts`)]).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 300_000);
