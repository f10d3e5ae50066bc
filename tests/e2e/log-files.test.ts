/** The json-file log as Docker writes it and as other programs read it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const options = (given: Record<string, string>) =>
  Object.entries(given).flatMap(([name, value]) => ["--log-opt", `${name}=${value}`]);

test("attributes stand in each record as dockerd writes them, and --details shows those of the record", async () => {
  const asked = { labels: "who", "labels-regex": "^w", env: "V,W", tag: "{{.Name}}/x" };
  const run = ["run", "--name", "attrs", "-l", "who=me", "-l", 'w"o=<x>&é (!)', "-e", "V=7"];
  const script = "echo one; echo two >&2; printf part";
  await daemon.docker(...run, ...["-e", "W=a b", ...options(asked), "busybox", "sh", "-c", script]);
  const path = await daemon.inspect("attrs", "{{.LogPath}}");
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const attributes = (name: string) =>
    `"attrs":{"V":"7","W":"a b","tag":"${name}/x","w\\"o":"\\u003cx\\u003e\\u0026é (!)","who":"me"}`;
  const time = '"time":"[0-9T:.-]+Z"}';
  const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  for (const [log, stream] of [
    ["one\\n", "stdout"],
    ["two\\n", "stderr"],
    ["part", "stdout"],
  ]) {
    const begin = `{"log":"${log}","stream":"${stream}",${attributes("attrs")},`;
    expect(lines).toContainEqual(expect.stringMatching(new RegExp(`^${escaped(begin)}${time}$`)));
  }
  const details = (name: string) =>
    `V=7,W=a+b,tag=${name}%2Fx,w%22o=%3Cx%3E%26%C3%A9+%28%21%29,who=me`;
  for (const client of ["docker", "berth"] as const)
    expect(await daemon[client]("logs", "--details", "attrs")).toEqual({
      status: 0,
      out: `${details("attrs")} one\n${details("attrs")} part`,
      err: `${details("attrs")} two\n`,
    });
  // A new name is in what is written after it only.
  await daemon.docker("rename", "attrs", "other");
  await daemon.docker("start", "-a", "other");
  const { out } = await daemon.docker("logs", "--details", "other");
  expect(out).toContain(`${details("attrs")} one\n`);
  expect(out).toEndWith(`${details("other")} part`);
  expect((await daemon.docker("logs", "other")).out).toBe("one\npartone\npart");
  await daemon.berth("rm", "other");
});

test("attributes fill a record to the bound, and beyond it the container is refused", async () => {
  const asked = (size: number) => {
    const flags = Array.from({ length: size }, (_, i) => ["-l", `l${i}=${"x".repeat(60_000)}`]);
    return [...flags.flat(), ...options({ "labels-regex": "^l" }), "busybox", "echo", "hi"];
  };
  expect((await daemon.berth("run", "--name", "full", ...asked(4))).out).toBe("hi\n");
  const path = await daemon.inspect("full", "{{.LogPath}}");
  const [line = ""] = readFileSync(path, "utf8").split("\n");
  expect(JSON.parse(line)).toMatchObject({ log: "hi\n", attrs: { l3: "x".repeat(60_000) } });
  expect((await daemon.berth("logs", "full")).out).toBe("hi\n");
  const refused = await daemon.berth("create", "--name", "over", ...asked(5));
  expect([refused.status, refused.err]).toEqual([1, expect.stringContaining("262144 is the most")]);
  await daemon.berth("rm", "full");
});
