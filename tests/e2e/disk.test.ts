/** What takes room and taking it back, with the stock command line: named volumes stay unless they are asked for. */
import { expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

const docker = (...args: string[]) => daemon.docker(...args);
const lines = (text: string) => text.split("\n").filter(Boolean).sort();

test("df counts what is there", async () => {
  const write = "head -c 300000 /dev/zero > /vol/f; head -c 100000 /dev/zero > /g";
  await docker("run", "--name", "user", "-v", "named:/vol", "busybox", "sh", "-c", write);
  const { out } = await docker(
    "system",
    "df",
    "--format",
    "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}}",
  );
  expect(out).toMatch(/^Images 1 1 [\d.]+MB$/m);
  expect(out).toMatch(/^Containers 1 0 100kB$/m);
  expect(out).toMatch(/^Local Volumes 1 1 300kB$/m);
});

test("prunes take what nobody uses and nobody has named", async () => {
  await docker("commit", "user", "kept:1");
  await docker("commit", "user", "kept:1");
  await docker("volume", "create", "mine");
  await docker("volume", "create", "--label", "a=b", "labelled");
  await docker("run", "-v", "/anonymous", "busybox", "true");
  expect(lines((await docker("images", "-q", "-f", "dangling=true")).out)).toHaveLength(1);
  const images = await docker("image", "prune", "-f");
  expect(images.out).toMatch(/deleted: sha256:[0-9a-f]{64}/i);
  expect(lines((await docker("images", "--format", "{{.Repository}}")).out)).toEqual([
    "busybox",
    "kept",
  ]);
  await docker("container", "prune", "-f");
  const volumes = await docker("volume", "prune", "-f");
  expect(volumes.out).toMatch(/Deleted Volumes:\n[0-9a-f]{64}\n/);
  const left = ["labelled", "mine", "named"];
  expect(lines((await docker("volume", "ls", "-q")).out)).toEqual(left);
  await docker("volume", "prune", "-f", "-a", "--filter", "label=a=b");
  expect(lines((await docker("volume", "ls", "-q")).out)).toEqual(["mine", "named"]);
  expect((await docker("system", "prune", "-f")).status).toBe(0);
  expect(lines((await docker("volume", "ls", "-q")).out)).toEqual(["mine", "named"]);
  await docker("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  expect((await docker("image", "prune", "-f", "-a")).status).toBe(0);
  expect(lines((await docker("images", "--format", "{{.Repository}}")).out)).toEqual(["busybox"]);
  await docker("rm", "-f", "runs");
  await docker("volume", "prune", "-f", "-a");
  expect((await docker("volume", "ls", "-q")).out).toBe("");
});
