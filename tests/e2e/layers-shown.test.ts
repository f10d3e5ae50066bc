/** Where layers lie, as inspect tells it: directories of the host in which one finds what is in them. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

async function graph(...words: string[]): Promise<Record<string, string>> {
  const { out, err } = await daemon.docker(...words, "--format", "{{json .GraphDriver}}");
  expect(err).toBe("");
  const { Name, Data } = JSON.parse(out) as { Name: string; Data: Record<string, string> };
  expect(Name).toBe("overlay2");
  return Data;
}

test("what a container writes is in its upper directory, what its image has in the lower ones", async () => {
  await daemon.berth(
    "run",
    "-d",
    "--name",
    "box",
    "busybox",
    "sh",
    "-c",
    "echo mine > /own; sleep 1000",
  );
  await daemon.berth("exec", "box", "sh", "-c", "until [ -s /own ]; do usleep 10000; done");
  const data = await graph("inspect", "box");
  expect(readFileSync(`${data.UpperDir}/own`, "utf8")).toBe("mine\n");
  const lowers = (data.LowerDir ?? "").split(":");
  expect(lowers.some((one) => existsSync(`${one}/bin/busybox`))).toBe(true);
  expect(existsSync(data.WorkDir ?? "")).toBe(true);
  expect(readFileSync(`${data.MergedDir}/own`, "utf8")).toBe("mine\n");
  await daemon.berth("stop", "-t", "0", "box");
  expect((await graph("inspect", "box")).MergedDir).toBeUndefined();
  const image = await graph("image", "inspect", "busybox");
  expect(existsSync(`${image.UpperDir}/bin/busybox`)).toBe(true);
  await daemon.berth("rm", "box");
});
