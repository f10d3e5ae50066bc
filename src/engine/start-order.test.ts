import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ContainerRecord, StateRecord } from "./container-record.ts";
import {
  type DependencyView,
  judge,
  patience,
  planStarts,
  servicesOf,
  startOrderOf,
  type Wait,
  waitsOf,
} from "./start-order.ts";

const compose = (service: string, dependsOn = "", more: Record<string, string> = {}) =>
  startOrderOf({
    Labels: {
      "com.docker.compose.project": "shop",
      "com.docker.compose.service": service,
      "com.docker.compose.depends_on": dependsOn,
      ...more,
    },
  });

test("compose's labels are read as compose writes them, also the older ones", () => {
  expect(compose("web", "db:service_healthy:true,cache:service_started:false,old,")).toEqual({
    project: "shop",
    service: "web",
    dependencies: [
      { service: "db", condition: "healthy" },
      { service: "cache", condition: "started" },
      { service: "old", condition: "started" },
    ],
  });
  expect(compose("web", "job:service_completed_successfully:false")?.dependencies).toEqual([
    { service: "job", condition: "completed" },
  ]);
  // What a later compose may invent refuses no container.
  expect(compose("web", "db:service_blessed:true:x")?.dependencies).toEqual([
    { service: "db", condition: "started" },
  ]);
  const once = compose("web", "", { "com.docker.compose.oneoff": "True" });
  expect(once).toEqual({ project: "shop", dependencies: [] });
  expect(startOrderOf({ Labels: { "com.docker.compose.depends_on": "db" } })).toBeUndefined();
  expect(startOrderOf({})).toBeUndefined();
});

test("berth's own label names containers; a wrong one is refused", () => {
  const own = (text: string, seconds?: string) =>
    startOrderOf({
      Labels: {
        "berth.depends-on": text,
        ...(seconds === undefined ? {} : { "berth.depends-on-timeout": seconds }),
      },
    });
  expect(own("db:healthy, /cache,job:service_completed_successfully", "30")).toEqual({
    dependencies: [
      { container: "db", condition: "healthy" },
      { container: "cache", condition: "started" },
      { container: "job", condition: "completed" },
    ],
    patience: 30,
  });
  expect(own("")).toBeUndefined();
  for (const bad of ["db:ready", ":healthy", "db:healthy:x"])
    expect(() => own(bad)).toThrow("use CONTAINER or CONTAINER:CONDITION");
  for (const bad of ["0", "-1", "5m", ""]) expect(() => own("db", bad)).toThrow("seconds");
  expect(patience({})).toBe(600);
});

const known = (id: string, more: Partial<ContainerRecord> = {}) => ({
  id,
  hostConfig: {},
  ...more,
});

test("a container waits for a service's containers, those it joins and those it links to; never for itself", () => {
  const records = [
    known("db1", { startOrder: compose("db") }),
    known("db2", { startOrder: compose("db") }),
    known("once", { startOrder: compose("db", "", { "com.docker.compose.oneoff": "True" }) }),
    known("foreign", {
      startOrder: { project: "other", service: "db", dependencies: [] },
    }),
    known("vpn"),
  ];
  const directory = {
    service: servicesOf(records),
    container: (name: string) => (name === "vpn-name" ? "vpn" : undefined),
  };
  const web = known("web", {
    startOrder: compose("web", "db:service_healthy:false,web,none"),
    hostConfig: {
      NetworkMode: "container:vpn-name",
      PidMode: "container:vpn-name",
      IpcMode: "host",
    },
    links: [{ id: "gone", name: "gone", alias: "g" }],
  });
  expect(waitsOf(web, directory)).toEqual([
    { on: "db1", condition: "healthy" },
    { on: "db2", condition: "healthy" },
    { on: "vpn", condition: "started" },
  ]);
});

test("a circle is broken where it closes, and told", () => {
  const on = (...ids: string[]): Wait[] => ids.map((id) => ({ on: id, condition: "started" }));
  const graph: Record<string, Wait[]> = { a: on("b"), b: on("c", "x"), c: on("a"), x: [] };
  const plan = planStarts(["a", "b", "c", "x"], (id) => graph[id] ?? []);
  expect(plan.circles).toEqual([["a", "b", "c"]]);
  expect(plan.waits.get("c")).toEqual([]);
  expect(plan.waits.get("b")).toEqual(on("c", "x"));
});

const graphs = fc.integer({ min: 1, max: 12 }).chain((size) =>
  fc.array(fc.array(fc.nat({ max: size + 1 }), { maxLength: 4 }), {
    minLength: size,
    maxLength: size,
  }),
);

test("whatever waits for whatever: no start waits for ever, and only what closes a circle is left out", () => {
  fc.assert(
    fc.property(graphs, (edges) => {
      const ids = edges.map((_, i) => String(i));
      const waits = (id: string) =>
        (edges[Number(id)] ?? [])
          .filter((to) => String(to) !== id)
          .map((to): Wait => ({ on: String(to), condition: "started" }));
      const plan = planStarts(ids, waits);
      // Starting whatever waits for nothing that is still to be started comes to an end with all started.
      const left = new Set(ids);
      for (let before = -1; before !== left.size; ) {
        before = left.size;
        for (const id of left)
          if (!plan.waits.get(id)?.some(({ on }) => left.has(on))) left.delete(id);
      }
      expect([...left]).toEqual([]);
      const dropped = ids.flatMap((id) =>
        waits(id)
          .filter((wait) => !plan.waits.get(id)?.some(({ on }) => on === wait.on))
          .map(({ on }) => `${id} ${on}`),
      );
      const closing = plan.circles.map((circle) => `${circle.at(-1)} ${circle[0]}`);
      expect(new Set(dropped)).toEqual(new Set(closing));
      for (const circle of plan.circles)
        circle.forEach((id, i) => {
          const next = circle[i + 1] ?? circle[0];
          expect(waits(id).some(({ on }) => on === next)).toBe(true);
        });
    }),
  );
});

function view(state: Partial<StateRecord>, more: Partial<DependencyView> = {}): DependencyView {
  const stored = { status: "exited", exitCode: 0, error: "", ...state } as StateRecord;
  return { name: "db", checked: true, begun: false, state: stored, ...more };
}

const health = (status: "starting" | "healthy" | "unhealthy") => ({
  health: { status, failingStreak: 0, log: [] },
});

test.each([
  ["started", view({ status: "running" }), "over"],
  ["started", view({ status: "restarting" }), "db is restarting"],
  ["started", view({ status: "restarting" }, { begun: true }), "over"],
  ["started", view({ error: "no such command" }), "db could not be started"],
  ["started", view({}), "over"],
  ["healthy", view({ status: "running", ...health("healthy") }), "over"],
  ["healthy", view({ status: "paused", ...health("starting") }), "db is starting"],
  ["healthy", view({ status: "running", ...health("unhealthy") }), "db is unhealthy"],
  ["healthy", view({ status: "running" }, { checked: false }), "db has no healthcheck configured"],
  ["healthy", view({ status: "restarting", ...health("healthy") }), "db is restarting"],
  ["healthy", view({ exitCode: 3 }), "db is not running"],
  ["healthy", view({ exitCode: 3 }, { begun: true }), "db exited (3)"],
  ["completed", view({ exitCode: 0 }), "over"],
  ["completed", view({ exitCode: 3 }), "db didn't complete successfully: exit 3"],
  ["completed", view({ status: "running" }), "db is running"],
  ["completed", view({ status: "created" }), "db is not running"],
  ["completed", view({ status: "restarting", exitCode: 0 }), "db is restarting"],
  ["completed", view({ status: "restarting", exitCode: 0 }, { begun: true }), "over"],
  ["completed", view({ status: "restarting", exitCode: 1 }, { begun: true }), "db is restarting"],
] as const)("%s, case %# of how the other stands", (condition, dependency, expected) => {
  const verdict = judge(condition, dependency);
  expect(verdict.is === "over" ? "over" : verdict.because).toBe(
    expected === "over" ? "over" : `container ${expected}`,
  );
  const vain = /could not|no healthcheck|exited|complete/.test(expected);
  if (verdict.is !== "over") expect(verdict.is).toBe(vain ? "vain" : "on");
});

test("what is gone is not waited for", () => {
  expect(judge("healthy", undefined)).toEqual({ is: "over" });
});
