/** Runs one command line with both clients against one daemon, and takes out of what they say what cannot be equal. */
import type { CommandOptions, Done, TestDaemon } from "../../kits/daemon.ts";

/** What a client said. */
export interface Said {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** The words of a line; quotes hold one together. */
export function wordsOf(line: string): string[] {
  return [...line.matchAll(/(?:'[^']*'|[^\s'])+/g)].map(([word]) => word.replaceAll("'", ""));
}

const replaced: readonly (readonly [RegExp, string])[] = [
  [/\b[Dd]ocker\b/g, "berth"],
  // Whether docker's archive writer meets a broken pipe is a matter of luck.
  [/^time=.* level=error msg="Can't (?:add|close) .*\n/gm, ""],
  [/\bBERTH_HOST\b/g, "DOCKER_HOST"],
  // Where Go's structs lie in its memory.
  [/\b0x[0-9a-f]{9,}\b/g, "<address>"],
  [/\b[0-9a-f]{64}\b/g, "<id>"],
  [/\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b/g, "<id>"],
  [/\d{4}-\d\d-\d\d[T ][\d:.]+(?: ?(?:Z|[+-]\d\d:?\d\d))?(?: UTC)?/g, "<time>"],
  [/(?:About an? \w+|Less than a second|\d+ (?:second|minute|hour)s?)/g, "<ago>"],
];

function normal(text: string): string {
  return replaced.reduce((now, [pattern, by]) => now.replaceAll(pattern, by), text);
}

const said = ({ status, out, err }: Done): Said => ({ status, out: normal(out), err: normal(err) });

/**
 * Both answers to a line that changes nothing; asked again while something grows older between the two, and since docker
 * lists the names of one image now and then in another order (that of a map of Go's).
 */
export async function bothRead(
  daemon: TestDaemon,
  line: string,
  options: CommandOptions = {},
): Promise<[docker: Said, berth: Said]> {
  const words = wordsOf(line);
  for (let tries = 0; ; tries++) {
    const [docker, berth] = await Promise.all([
      daemon.dockerWith(options, ...words),
      daemon.berthWith(options, ...words),
    ]);
    const both: [Said, Said] = [said(docker), said(berth)];
    if (tries === 4 || Bun.deepEquals(...both)) return both;
  }
}

let made = 0;

async function make(daemon: TestDaemon, kind: string, name: string): Promise<void> {
  const send = async (path: string, body?: unknown) => {
    const { status, text } = await daemon.api("POST", path, body);
    if (status >= 400) throw new Error(`${path}: ${text}`);
  };
  if (kind === "volume") return send("/volumes/create", { Name: name });
  if (kind === "network") return send("/networks/create", { Name: name });
  if (kind === "image") return send(`/images/busybox/tag?repo=${name}`);
  const script = kind === "created" ? "true" : kind === "exited" ? "exit 3" : "sleep 1000";
  const Cmd = ["sh", "-c", script];
  await send(`/containers/create?name=${name}`, { Image: "busybox", Cmd, StopSignal: "KILL" });
  if (kind === "created") return;
  await send(`/containers/${name}/start`);
  if (kind === "paused") await send(`/containers/${name}/pause`);
  if (kind === "exited") await send(`/containers/${name}/wait`);
}

async function unmake(daemon: TestDaemon, name: string): Promise<void> {
  await daemon.api("DELETE", `/containers/${name}?force=1&v=1`);
  await daemon.api("DELETE", `/volumes/${name}?force=1`);
  await daemon.api("DELETE", `/networks/${name}`);
  await daemon.api("DELETE", `/images/${name}`);
  await daemon.api("DELETE", `/images/${name}:2`);
}

/** What one client says to a line that changes something, with objects of its own. */
async function change(daemon: TestDaemon, client: "berth" | "docker", line: string): Promise<Said> {
  const names = new Map<string, string>();
  for (const [, kind = ""] of line.matchAll(/@(\w+)/g)) {
    if (names.has(kind)) continue;
    const name = `zz${made++}zz`;
    names.set(kind, name);
    if (kind !== "new") await make(daemon, kind, name);
  }
  const words = wordsOf(line).map((word) =>
    word.replaceAll(/@(\w+)/g, (_, kind: string) => names.get(kind) ?? ""),
  );
  const done = await daemon[client](...words);
  for (const name of names.values()) await unmake(daemon, name);
  const { status, out, err } = said(done);
  const named = (text: string) =>
    [...names].reduce((now, [kind, name]) => now.replaceAll(name, `@${kind}`), text);
  return { status, out: named(out), err: named(err) };
}

/** Both answers to a line that changes something, each with equal objects of its own. */
export async function bothChange(
  daemon: TestDaemon,
  line: string,
): Promise<[docker: Said, berth: Said]> {
  const docker = await change(daemon, "docker", line);
  return [docker, await change(daemon, "berth", line)];
}

/** Does something with each of the items, a few at a time; the results in the items' order. */
export async function inParallel<T, R>(
  items: readonly T[],
  act: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const work = async () => {
    for (const [at, item] of queue) results[at] = await act(item);
  };
  await Promise.all(Array.from({ length: 4 }, work));
  return results;
}
