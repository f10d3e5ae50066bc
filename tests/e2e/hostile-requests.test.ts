/**
 * A thousand requests that make no sense, on every route: none is a 500, none hangs, none that is refused changes anything,
 * and the daemon is as well and as small as before.
 *
 * The same requests come at each run; `BERTH_REQUESTS=20000 BERTH_REQUESTS_SEED=7` sends so many others.
 */
import { beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import {
  type HostileRequest,
  hostileRequest,
  known,
  type Outcome,
  sendRequest,
} from "../kits/hostile-requests.ts";
import { randomFrom } from "../kits/random.ts";

const daemon = daemonOfFile();
const random = randomFrom(Number(process.env.BERTH_REQUESTS_SEED ?? 1));
const REQUESTS = Number(process.env.BERTH_REQUESTS ?? 1200);
/** An answer that does not begin by then has hung: a machine may be slow, but not so slow. */
const HEAD_MS = 60_000;
/** Answers that go on, or begin, when something happens: their clients go away after a moment. */
const waits =
  /\/(events|wait|attach|attach\/ws|logs|stats|session|build-agent|build-exchange)(\?|$)|\/exec\/[^/]*\/start/;

/** A start that fails is noted in the container, as under Docker. */
const notes = /\/(start|restart)(\?|$)/;

async function json(path: string): Promise<unknown> {
  const { status, text } = await daemon.api("GET", path);
  return status === 200 ? JSON.parse(text) : status;
}

type Rows = readonly Record<string, unknown>[];
const pick = (rows: unknown, ...fields: readonly string[]) =>
  (rows as Rows).map((row) => fields.map((field) => JSON.stringify(row[field])).join(" ")).sort();

/** Everything that a request might have changed. */
async function state(): Promise<unknown> {
  const [containers, images, networks, volumes, container, network, volume] = await Promise.all([
    json("/containers/json?all=1"),
    json("/images/json?all=1"),
    json("/networks"),
    json("/volumes"),
    json(`/containers/${known.container}/json`),
    json(`/networks/${known.network}`),
    json(`/volumes/${known.volume}`),
  ]);
  return {
    containers: pick(containers, "Id", "Names", "State"),
    images: pick(images, "Id", "RepoTags"),
    networks: pick(networks, "Id", "Name"),
    volumes: pick((volumes as { Volumes: unknown }).Volumes ?? [], "Name", "Labels"),
    container,
    network,
    volume,
  };
}

/** Some requests are carried out, and take away what the others speak of: it is made again. */
async function restore(): Promise<void> {
  await daemon.api("POST", "/volumes/create", { Name: known.volume });
  if ((await daemon.api("GET", `/networks/${known.network}`)).status !== 200)
    await daemon.api("POST", "/networks/create", { Name: known.network, Internal: true });
  if ((await daemon.api("GET", `/containers/${known.container}/json`)).status !== 200) {
    const HostConfig = { Binds: [`${known.volume}:/data`], NetworkMode: known.network };
    const body = { Image: "busybox", Cmd: ["sleep", "1000"], HostConfig };
    const { status, text } = await daemon.api(
      "POST",
      `/containers/create?name=${known.container}`,
      body,
    );
    expect(`${status} ${text}`).toStartWith("201");
  }
}

/** The state once nothing changes it any more: what half a request has begun may still go on. */
async function settled(): Promise<unknown> {
  for (;;) {
    await restore();
    const now = await state();
    await Bun.sleep(50);
    if (Bun.deepEquals(now, await state())) return now;
  }
}

function shown({ method, path, pieces, headers }: HostileRequest, outcome: Outcome): string {
  const body = Buffer.concat(pieces).toString().slice(0, 3000);
  const answer = `${outcome.status} ${outcome.text.slice(0, 400)}`;
  return `${answer} <- ${method} ${path.slice(0, 400)} [${headers.join(", ")}] ${JSON.stringify(body)}`;
}

/** Docker's form of an error: an object with a message. */
function messageIn(text: string): unknown {
  const chunk = /^[0-9a-f]+\r\n([\s\S]*?)\r\n0\r\n/i.exec(text)?.[1] ?? text;
  try {
    return (JSON.parse(chunk) as { message?: unknown }).message;
  } catch {
    return undefined;
  }
}

function check(request: HostileRequest, outcome: Outcome): void {
  const what = shown(request, outcome);
  if (outcome.status === 0) {
    // Nothing was to be said to half a request, or to whoever waits for what does not happen.
    expect(request.cut || (outcome.open && waits.test(request.path)), what).toBe(true);
    return;
  }
  if (outcome.status >= 500) expect(outcome.text, what).not.toContain("internal error");
  expect([200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 413, 414, 431, 500, 501, 503], what) //
    .toContain(outcome.status === 101 ? 200 : outcome.status);
  // The host may refuse what makes sense to the engine; a bug of berth's is told apart by its words.
  if (outcome.status === 500) expect(messageIn(outcome.text), what).toBeString();
  // What the parser of HTTP refuses never comes to a handler, and has no body.
  const unread = request.cut || [413, 414, 431].includes(outcome.status);
  if (outcome.status >= 400 && request.method !== "HEAD" && !unread)
    expect(messageIn(outcome.text), what).toBeString();
}

function memory(): number {
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

beforeAll(restore);

test("requests that make no sense change nothing and break nothing", async () => {
  const before = memory();
  let last = await state();
  let refused = 0;
  for (let n = 0; n < REQUESTS; n++) {
    const request = hostileRequest(random);
    const brief = waits.test(request.path);
    const patience = { head: brief ? 300 : HEAD_MS, rest: brief ? 100 : HEAD_MS };
    const outcome = await sendRequest(daemon.socket, request, patience);
    check(request, outcome);
    const refusal = outcome.status >= 400 && outcome.status !== 500;
    // Of half a request the parser says no, and the handler of one that wants no body may have said yes.
    if (refusal && !request.cut && !notes.test(request.path)) {
      refused++;
      // Each time would be most of the work: what a few of them have changed is seen as well.
      if (refused % 5 === 0) expect(await state(), shown(request, outcome)).toEqual(last);
      continue;
    }
    if (request.method === "GET" || request.method === "HEAD") continue;
    last = await settled();
  }
  expect(refused).toBeGreaterThan(REQUESTS / 3);
  expect(memory() - before).toBeLessThan(400);
}, 1_800_000);

test("the daemon is well afterwards and has logged no bug of its own", async () => {
  const bugs = daemon.log.split("\n").filter((line) => line.includes("a bug in berth"));
  expect(bugs).toEqual([]);
  const ids = (await daemon.berth("ps", "-aq")).out.split("\n").filter(Boolean);
  if (ids.length > 0) await daemon.berth("rm", "-f", ...ids);
  await daemon.berth("network", "prune", "-f");
  expect((await daemon.berth("run", "--rm", "busybox", "echo", "well")).out).toBe("well\n");
}, 120_000);
