/** Building images, and the cache of builds. */
import { expect } from "bun:test";
import { tarOf } from "../clients/tars.ts";
import type { Answer, Caller } from "./caller.ts";
import type { Scenarios } from "./steps.ts";

const dockerfile = `FROM busybox AS first
ARG GIVEN
RUN echo "given=$GIVEN"; grep own.host /etc/hosts; ls /sys/class/net; df -k /dev/shm | tail -1
FROM busybox AS second
RUN exit 3
`;

/** Everything that a build has said. */
function told(answer: Answer): string {
  return answer.values.map((value) => (value as { stream?: string }).stream ?? "").join("");
}

async function builds(api: Caller): Promise<void> {
  const body = new Uint8Array(tarOf({ "other.file": dockerfile }));
  const query = {
    dockerfile: "other.file",
    t: "built:1",
    target: "first",
    buildargs: { GIVEN: "argument" },
    labels: { kind: "built" },
    extrahosts: "own.host:10.9.8.7",
    networkmode: "none",
    shmsize: 1 << 20,
    platform: "linux",
  };
  const built = await api.call("ImageBuild", { query, body });
  const inspect = await api.call("ImageInspect", { path: { name: "built:1" } });
  built.shows(["query t", "body", "query dockerfile"], inspect.at("RepoTags"), ["built:1"]);
  built.shows("query labels", inspect.at("Config.Labels"), { kind: "built" });
  built.shows("query platform", inspect.at("Os"), "linux");
  const output = told(built);
  built.shows("query buildargs", output, expect.stringContaining("given=argument\n"));
  built.shows("query extrahosts", output, expect.stringMatching(/^10\.9\.8\.7\s+own\.host$/m));
  built.shows("query networkmode", output, expect.stringMatching(/^lo$/m));
  built.shows("query shmsize", output, expect.stringMatching(/\s1024\s/));
  built.shows("query target", output, expect.not.stringContaining("exit 3"));
  const again = await api.call("ImageBuild", { query, body });
  expect(told(again)).toContain("Using cache");
  const fresh = await api.call("ImageBuild", { query: { ...query, nocache: true }, body });
  fresh.shows("query nocache", told(fresh), expect.not.stringContaining("Using cache"));
  const outputs = JSON.stringify([{ Type: "image", Attrs: { name: "built:3" } }]);
  const named = await api.call("ImageBuild", { query: { ...query, outputs, squash: true }, body });
  const squashed = await api.call("ImageHistory", { path: { name: "built:3" } });
  named.shows(
    "query outputs",
    named.values,
    expect.arrayContaining([{ stream: "Successfully tagged built:3\n" }]),
  );
  named.shows("query squash", squashed.at("0.Comment"), expect.stringMatching(/^merge sha256:/));
  const quiet = await api.call("ImageBuild", { query: { ...query, q: true }, body });
  quiet.shows("query q", told(quiet), expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/));
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response("FROM busybox\nLABEL from=afar\n"),
  });
  const remote = `http://127.0.0.1:${server.port}/Dockerfile`;
  const far = await api.call("ImageBuild", { query: { remote, t: "built:2" } });
  const afar = await api.call("ImageInspect", { path: { name: "built:2" } });
  far.shows("query remote", afar.at("Config.Labels"), { from: "afar" });
  const wrong = { dockerfile: "nothing" };
  await api.call("ImageBuild", { query: wrong, body, status: 400 });
  for (const name of ["built:1", "built:2", "built:3"])
    await api.call("ImageDelete", { path: { name } });
}

async function cache(api: Caller): Promise<void> {
  const text = "FROM busybox\nRUN echo one > /one\nRUN echo two > /two\n";
  const body = new Uint8Array(tarOf({ Dockerfile: text }));
  await api.call("BuildPrune", { query: { all: true } });
  await api.call("ImageBuild", { query: { t: "cached:1" }, body });
  await api.call("BuildPrune", { query: { all: true } });
  const cachefrom = JSON.stringify(["cached:1"]);
  const taken = await api.call("ImageBuild", { query: { cachefrom }, body });
  taken.shows("query cachefrom", told(taken).match(/Using cache/g), Array(2).fill("Using cache"));
  const usage = await api.call("SystemDataUsage");
  expect(usage.at("BuildCache")).toHaveLength(2);
  const first = String(usage.at("BuildCache.0.ID"));
  const shared = await api.call("BuildPrune");
  expect(shared.at("CachesDeleted")).toEqual([]);
  await api.call("ImageDelete", { path: { name: "cached:1" } });
  const large = 2 ** 40;
  for (const name of ["keep-storage", "reserved-space", "max-used-space"]) {
    const kept = await api.call("BuildPrune", { query: { all: true, [name]: large } });
    kept.shows(`query ${name}`, kept.at("CachesDeleted"), []);
  }
  const free = await api.call("BuildPrune", { query: { all: true, "min-free-space": 1 } });
  free.shows("query min-free-space", free.at("CachesDeleted"), []);
  await api.call("BuildPrune", { query: { filters: { nonsense: ["x"] } }, status: 400 });
  const one = await api.call("BuildPrune", { query: { all: true, filters: { id: [first] } } });
  one.shows("query filters", one.at("CachesDeleted"), [first]);
  await api.call("ImageBuild", { query: { t: "cached:1" }, body });
  const all = await api.call("BuildPrune", { query: { all: true } });
  const left = await api.call("SystemDataUsage");
  all.shows("query all", left.at("BuildCache"), []);
  await api.call("ImageDelete", { path: { name: "cached:1" } });
}

/** The scenarios. */
export const buildScenarios: Scenarios = { builds, "the cache of builds": cache };
