/** What an image, a repository or a request could get out of the daemon: its environment, files of its host, its time and memory. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { archiveOf } from "../../build-conformance/image.ts";
import { withVictim } from "../../kits/attacker.ts";
import { daemonOfFile } from "../../kits/daemon.ts";
import { dockerArchive } from "../../kits/image-archives.ts";

const SECRET = "of the host";
const daemon = daemonOfFile([], ["env", `BT_SECRET=${SECRET}`, `BT_TOKEN=${SECRET}`]);

async function created(body: object): Promise<string> {
  const { status, text } = await daemon.api("POST", "/containers/create", body);
  expect([status, text]).toEqual([201, expect.any(String)]);
  return (JSON.parse(text) as { Id: string }).Id;
}

test("nothing of the daemon's environment is in a container, an exec or a build, however it is named (CVE-2026-57231, CVE-2021-3602)", async () => {
  expect(readFileSync(`/proc/${daemon.pid}/environ`, "utf8")).toContain(SECRET);
  const names = ["BT_SECRET", "BT_*", "$BT_SECRET", "A=$BT_SECRET", "B=${BT_SECRET}"];
  const plan = { names: ["asking:1"], layers: [{ f: "x" }], steps: [{ created_by: "RUN x" }] };
  const { bytes } = dockerArchive({ ...plan, config: { Env: names, Cmd: ["/b/busybox", "env"] } });
  expect((await daemon.berthWith({ stdin: bytes }, "load")).status).toBe(0);
  const asked = await daemon.berth("run", "--rm", "-v", "/bin:/b:ro", "asking:1");
  expect(asked.out).toContain("A=$BT_SECRET\n");
  expect(asked.out).not.toContain(SECRET);
  // By its client a name alone is looked up, here by nobody.
  const look = ["sh", "-c", "env; cat /proc/1/environ /proc/self/environ"];
  const id = await created({ Image: "busybox", Env: names, Cmd: look, HostConfig: { Init: true } });
  const ran = await daemon.berth("start", "-a", id);
  expect(ran.out).toContain("HOSTNAME=");
  expect(ran.out).not.toContain(SECRET);
  await daemon.berth("rm", id);
  await daemon.berth("run", "-d", "--name", "env", "busybox", "sleep", "1000");
  const exec = await daemon.api("POST", "/containers/env/exec", {
    ...{ Env: names, AttachStdout: true, Cmd: ["env"] },
  });
  const { Id } = JSON.parse(exec.text) as { Id: string };
  const { text } = await daemon.api("POST", `/exec/${Id}/start`, { Detach: false });
  expect(text).toContain("PATH=");
  expect(text).not.toContain(SECRET);
  await daemon.berth("rm", "-f", "env");
  const dockerfile =
    'FROM busybox\nARG BT_SECRET\nARG BT_TOKEN=$BT_SECRET\nENV C=$BT_SECRET\nRUN env > /env; cat /proc/*/environ >> /env\nLABEL d="$BT_SECRET$C"\n';
  await daemon.berthWith({ stdin: dockerfile }, "build", "-q", "-t", "built", "-");
  expect((await daemon.berth("run", "--rm", "built", "cat", "/env")).out).toContain("PATH=");
  expect((await daemon.berth("run", "--rm", "built", "cat", "/env")).out).not.toContain(SECRET);
  expect((await daemon.berth("inspect", "built")).out).not.toContain(SECRET);
});

test("a Dockerfile, or what is ignored, that is a link out of its context reads nothing of the host (CVE-2022-4122)", async () => {
  await withVictim(async (victim) => {
    const secret = `${victim}/secret`;
    const build = async (files: Parameters<typeof archiveOf>[0], dockerfile: string) => {
      const response = await fetch(`http://x/build?${new URLSearchParams({ dockerfile })}`, {
        method: "POST",
        unix: daemon.socket,
        body: Buffer.from(archiveOf(files)),
      });
      return response.text();
    };
    for (const link of [secret, `../../../../../../../..${secret}`, `/proc/self/root${secret}`]) {
      const linked = { type: "symlink", link } as const;
      const direct = await build({ Dockerfile: linked }, "Dockerfile");
      expect(direct).toContain("failed to read dockerfile");
      // What stands in it would be told as an instruction that is not known.
      expect(direct.toLowerCase()).not.toMatch(/unknown instruction|of the host/);
      const away = await build({ d: { type: "symlink", link: victim } }, "d/secret");
      expect(away).toContain("failed to read dockerfile");
      writeFileSync(secret, "kept\n");
      const files = {
        Dockerfile: "FROM scratch\nCOPY kept /\n",
        kept: "x",
        ".dockerignore": linked,
      };
      // Were it followed, there would be nothing to copy.
      expect(await build(files, "Dockerfile")).toContain('"aux"');
      writeFileSync(secret, SECRET);
    }
  });
});

test("lists of processors and memory nodes cost no more than they are long (CVE-2018-20699)", async () => {
  const memory = () =>
    Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1]);
  const before = memory();
  const long = Array.from({ length: 100_000 }, () => "0-9999").join(",");
  for (const list of ["0-9999999999", "1-4294967295", "0-18446744073709551615", "0-99999", long])
    for (const field of ["CpusetCpus", "CpusetMems"]) {
      const HostConfig = { [field]: list };
      const { status } = await daemon.api("POST", "/containers/create", {
        Image: "busybox",
        HostConfig,
      });
      expect([field, list.slice(0, 30), status]).toEqual([field, list.slice(0, 30), 400]);
    }
  expect(memory() - before).toBeLessThan(100 << 10);
});

test("a container on a network of IPv4 alone has no address of IPv6, not even of its link (CVE-2024-32473)", async () => {
  const look = "cat /proc/net/if_inet6; echo end";
  const { out } = await daemon.berth("run", "--rm", "busybox", "sh", "-c", look);
  expect(out.split("\n").filter((line) => !/ lo$/.test(line))).toEqual(["end", ""]);
});
