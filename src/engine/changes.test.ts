import { expect, test } from "bun:test";
import type { ContainerChanges } from "../spec/extensions.ts";
import { withLabels, withMounts, withProcess } from "./changes.ts";
import type { ContainerRecord, MountRecord } from "./container-record.ts";
import { type Configuration, changeOfRunning, configuredOf, pendingFields } from "./pending.ts";

const mounted = (target: string): MountRecord => ({
  type: "volume",
  source: `/volumes${target}`,
  target,
  readOnly: false,
  mode: "",
  propagation: "",
  recursive: true,
  copyUp: true,
});
const current: Configuration = {
  config: { Env: ["A=1", "B=2"], Cmd: ["x"], Volumes: { "/image": {} }, Labels: { a: "1" } },
  hostConfig: { Binds: ["v:/data"] },
  mounts: [mounted("/image"), mounted("/data"), mounted("/inherited")],
};

test("variables keep their places, new ones come last, and setting goes before removing", () => {
  const after = (changes: ContainerChanges) => withProcess(current.config, changes).Env;
  expect(after({ Env: ["B=3", "C=4", "A=5"] })).toEqual(["A=5", "B=3", "C=4"]);
  expect(after({ EnvRemove: ["A", "nothing"] })).toEqual(["B=2"]);
  expect(after({ Env: ["A=9"], EnvRemove: ["A"] })).toEqual(["A=9", "B=2"]);
  expect(withProcess(current.config, {})).toEqual(current.config);
  expect(withProcess(current.config, { Entrypoint: [""] }).Entrypoint).toEqual([]);
});

test("labels are set and removed", () => {
  expect(withLabels(current.config, { Labels: { b: "2" }, LabelsRemove: ["a"] }).Labels).toEqual({
    b: "2",
  });
  expect(withLabels(current.config, {})).toBe(current.config);
});

test("a mount takes another's place, what is there just so stays, what goes is gone for good", () => {
  const same = withMounts(current, { Binds: ["v:/data"], Volumes: { "/image": {} } });
  expect(same).toEqual({ ...current, wanted: [] });
  const other = withMounts(current, { Binds: ["w:/data/"], Tmpfs: { "/image": "" } });
  expect(other.hostConfig).toMatchObject({ Binds: ["w:/data/"], Tmpfs: { "/image": "" } });
  expect(other.wanted.map(({ target }) => target).toSorted()).toEqual(["/data", "/image"]);
  expect(other.mounts.map(({ target }) => target)).toEqual(["/inherited"]);
  expect(other.config.Volumes).toEqual({ "/image": {} });
  const none = withMounts(current, { MountsRemove: ["/image/", "/inherited", "/data"] });
  expect([none.mounts, none.config.Volumes, none.hostConfig.Binds]).toEqual([[], {}, []]);
  expect(() => withMounts(current, { MountsRemove: ["/none"] })).toThrow("nothing is mounted at");
  expect(() => withMounts(current, { Binds: ["a1:/x", "b1:/x"] })).toThrow("Duplicate mount point");
});

test("of a running container's change a part waits, until it is taken back or applied", () => {
  const record = { ...current } as ContainerRecord;
  const next: Configuration = {
    config: { ...current.config, Env: ["A=2"], Labels: { b: "2" } },
    hostConfig: { ...current.hostConfig, Memory: 5, Ulimits: [{ Name: "core", Soft: 0, Hard: 0 }] },
    mounts: [],
  };
  const changed = { ...record, ...changeOfRunning(record, next) };
  expect(changed.config).toEqual({ ...current.config, Labels: { b: "2" } });
  expect(changed.hostConfig).toEqual({ ...current.hostConfig, Memory: 5 });
  expect(changed.mounts).toBe(current.mounts);
  expect(pendingFields(changed)).toEqual(["Env", "Ulimits"]);
  // As it comes back from the database.
  expect(configuredOf(JSON.parse(JSON.stringify(changed)) as ContainerRecord)).toEqual(next);
  const back = changeOfRunning(changed, { ...next, ...current });
  expect(back.pending).toBeUndefined();
});
