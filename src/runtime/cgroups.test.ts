import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { cpuWeight, undoingValue, v1Writes, v2Writes } from "./cgroup-resources.ts";
import { Cgroups } from "./cgroups.ts";
import { MadeCgroups } from "./made-cgroups.ts";

const parent = `/berth-unit-${process.pid}`;
const cgroups = Cgroups.detect();
afterEach(() => {
  cgroups.remove(parent);
});

test("memory is limited before memory with swap, and the period set before the quota", () => {
  const files = v1Writes({
    memory: { swap: 20, limit: 10 },
    cpu: { quota: 5000, period: 10000 },
    pids: { limit: 0 },
  }).map(({ file, value }) => `${file}=${value}`);
  expect(files).toEqual([
    "memory.limit_in_bytes=10",
    "memory.memsw.limit_in_bytes=20",
    "cpu.cfs_period_us=10000",
    "cpu.cfs_quota_us=5000",
    "pids.max=max",
  ]);
});

test("version 2 counts swap without memory and weighs instead of sharing", () => {
  const writes = v2Writes({
    memory: { limit: 100, swap: 150 },
    cpu: { shares: 1024, quota: 50000 },
  });
  expect(writes.map(({ file, value }) => `${file}=${value}`)).toEqual([
    "memory.max=100",
    "memory.swap.max=50",
    "cpu.weight=39",
    "cpu.max=50000 100000",
  ]);
  expect([cpuWeight(2), cpuWeight(262144)]).toEqual([1, 10000]);
});

test("mountinfo tells the version and the hierarchies", () => {
  const line = (path: string, type: string, options: string) =>
    `30 20 0:26 / ${path} rw - ${type} ${type} rw,${options}`;
  const v1 = Cgroups.detect(
    undefined,
    [
      line("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "cpu,cpuacct"),
      line("/sys/fs/cgroup/systemd", "cgroup", "xattr,name=systemd"),
    ].join("\n"),
  );
  expect(v1.version).toBe(1);
  expect(v1.mounts).toEqual([
    { directory: "cpu,cpuacct", option: "cpu,cpuacct", path: "/sys/fs/cgroup/cpu,cpuacct" },
    { directory: "systemd", option: "name=systemd", path: "/sys/fs/cgroup/systemd" },
  ]);
  expect(Cgroups.detect(undefined, line("/sys/fs/cgroup", "cgroup2", "nsdelegate")).version).toBe(
    2,
  );
  expect(() => Cgroups.detect(undefined, "")).toThrow("no cgroup file system");
});

test("a cgroup is made with its limits, holds a process, kills it, and goes", async () => {
  const path = `${parent}/one`;
  const join = cgroups.create(path, { memory: { limit: 64 << 20 }, pids: { limit: 10 } });
  const script = [...join.joinFiles.map((file) => `echo 0 > ${file}`), "exec sleep 100"].join("; ");
  const child = Bun.spawn(["sh", "-c", script]);
  // Once it sleeps it is in the last hierarchy too.
  while (readFileSync(`/proc/${child.pid}/comm`, "utf8") !== "sleep\n") await Bun.sleep(5);
  expect(cgroups.pids(path)).toContain(child.pid);
  if (cgroups.version === 1)
    expect(readFileSync(`/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`, "utf8")).toBe(
      "67108864\n",
    );
  expect(cgroups.remove(path)).toBe(false);
  cgroups.freeze(path);
  cgroups.kill(path);
  await child.exited;
  expect(child.signalCode).toBe("SIGKILL");
  while (!cgroups.remove(path)) await Bun.sleep(5);
  expect(cgroups.children(parent)).toEqual([]);
  expect(existsSync(`/sys/fs/cgroup/memory${path}`)).toBe(false);
});

test("a limit that the kernel refuses leaves no cgroup behind", () => {
  const path = `${parent}/two`;
  expect(() => cgroups.create(path, { cpu: { cpus: "9999" } })).toThrow("cpuset.cpus");
  expect(cgroups.children(parent)).toEqual([]);
});

test("outside of berth's own group only what was made is taken away, by the next daemon too", () => {
  const directory = mkdtempSync("/tmp/berth-made-");
  const [own, foreign] = [`${parent}/own`, `${parent}-scheduler`];
  const daemon = () => Cgroups.detect(new MadeCgroups(own, `${directory}/cgroups.json`));
  const place = cgroups.version === 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
  mkdirSync(place + foreign);
  try {
    const first = daemon();
    first.create(`${foreign}/pod/one`, { memory: { limit: 64 << 20 } });
    first.create(`${foreign}/pod/two`, {});
    expect(existsSync(`${place}${foreign}/pod/one`)).toBe(true);
    expect(first.remove(`${foreign}/pod/one`)).toBe(true);
    expect(existsSync(`${place}${foreign}/pod`)).toBe(true);
    const second = daemon();
    expect(second.outside).toEqual([`${foreign}/pod/two`]);
    expect(second.remove(`${foreign}/pod/two`)).toBe(true);
    expect(existsSync(`${place}${foreign}/pod`)).toBe(false);
    expect(existsSync(place + foreign)).toBe(true);
    expect(daemon().outside).toEqual([]);
  } finally {
    rmdirSync(place + foreign);
    rmSync(directory, { recursive: true });
  }
  expect(cgroups.children(foreign)).toEqual([]);
});

test("a directory of the same name that somebody made meanwhile is not taken away", () => {
  const directory = mkdtempSync("/tmp/berth-made-");
  const foreign = `${parent}-scheduler`;
  const outside = Cgroups.detect(new MadeCgroups(`${parent}/own`, `${directory}/cgroups.json`));
  const place = cgroups.version === 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
  outside.create(`${foreign}/one`, {});
  rmdirSync(`${place}${foreign}/one`);
  rmdirSync(place + foreign);
  mkdirSync(place + foreign);
  outside.remove(`${foreign}/one`);
  expect(existsSync(place + foreign)).toBe(true);
  rmdirSync(place + foreign);
  rmSync(directory, { recursive: true });
});

test("each write has one that undoes it, by what the file said before", () => {
  const undo = (file: string, value: string, before: string) =>
    undoingValue({ controller: "", file, value }, before);
  expect(undo("memory.limit_in_bytes", "10", "20\n")).toBe("20");
  expect(undo("cpu.max", "5 10", "max 100000\n")).toBe("max 100000");
  expect(undo("cpuset.cpus", "0", "\n")).toBe("\n");
  expect(undo("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n")).toBe("0");
  expect(undo("io.bfq.weight", "300", "default 100\n8:0 200\n")).toBe("100");
  const before = "8:0 1000\n8:16 2000\n";
  expect(undo("blkio.throttle.read_bps_device", "8:16 5", before)).toBe("8:16 2000");
  expect(undo("blkio.throttle.read_bps_device", "8:1 5", before)).toBe("8:1 0");
  expect(undo("io.max", "8:1 rbps=5", "")).toBe("8:1 rbps=max wbps=max riops=max wiops=max");
});

test("limits of a running group are changed all together or not at all, and can be undone", () => {
  const path = `${parent}/three`;
  cgroups.create(path, { pids: { limit: 10 }, memory: { limit: 64 << 20, swap: 64 << 20 } });
  const of = (controller: string, file: string) =>
    readFileSync(`/sys/fs/cgroup/${controller}${path}/${file}`, "utf8").trim();
  if (cgroups.version === 2) return;
  const memory = { limit: 128 << 20, swap: 256 << 20 };
  expect(() => cgroups.update(path, { memory, cpu: { cpus: "9999" } })).toThrow("cpuset.cpus");
  expect(of("memory", "memory.limit_in_bytes")).toBe(String(64 << 20));
  const undo = cgroups.update(path, { memory, pids: { limit: -1 } });
  expect(of("memory", "memory.memsw.limit_in_bytes")).toBe(String(256 << 20));
  expect(of("pids", "pids.max")).toBe("max");
  undo();
  expect(of("memory", "memory.memsw.limit_in_bytes")).toBe(String(64 << 20));
  expect(of("pids", "pids.max")).toBe("10");
});
