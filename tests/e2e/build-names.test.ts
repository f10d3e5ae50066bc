/** Names of files that are no UTF-8 stay what they are: in contexts, copies, layers, archives. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const bytes = (directory: string, ...more: number[]) =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(more)]);

const DOCKERFILE = `FROM busybox
COPY . /all
COPY f* /some/
RUN cd /all && mv d* "$(printf 'moved\\376')" && echo run > "$(printf 'made\\377')"
`;

/** The names below /all and /some with their contents, as bytes that can be seen. */
async function seen(image: string): Promise<string[]> {
  const script =
    "cd / && find all some ! -name Dockerfile ! -name .dockerignore | sort | od -An -v -tx1";
  const { out, err } = await daemon.berth("run", "--rm", image, "sh", "-c", script);
  expect(err).toBe("");
  return Buffer.from(out.replaceAll(/\s/g, ""), "hex").toString("latin1").trim().split("\n").sort();
}

const expected = [
  ...[
    "all",
    "all/f\xff\xfe",
    "all/l\xff",
    "all/made\xff",
    "all/moved\xfe",
    "all/moved\xfe/i\xe4",
    "all/text\xc3\xa4",
  ],
  ...["some", "some/f\xff\xfe"],
].sort();

async function within(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = scratchDirectory("names-");
  try {
    writeFileSync(`${directory}/Dockerfile`, DOCKERFILE);
    writeFileSync(bytes(directory, 0x66, 0xff, 0xfe), "odd\n");
    mkdirSync(bytes(directory, 0x64, 0xff));
    writeFileSync(bytes(directory, 0x64, 0xff, 0x2f, 0x69, 0xe4), "inner\n");
    writeFileSync(`${directory}/textä`, "text\n");
    symlinkSync(Buffer.from([0x66, 0xff, 0xfe]), bytes(directory, 0x6c, 0xff));
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("berth's command line, docker's and an archive by standard input bring the same names", async () => {
  await within(async (directory) => {
    const built = await daemon.berth("build", "-t", "own", directory);
    expect([built.status, built.err]).toEqual([0, expect.any(String)]);
    expect(await seen("own")).toEqual(expected);
    const link = await daemon.berth("run", "--rm", "own", "sh", "-c", "cat /all/l*");
    expect(link.out).toBe("odd\n");
    // Only what has changed is sent; a name that is gone is gone.
    const again = await daemon.berth("build", "-t", "own", directory);
    expect(again.err.match(/CACHED/g)).toHaveLength(3);
    writeFileSync(bytes(directory, 0x66, 0xff, 0xfe), "another\n");
    rmSync(bytes(directory, 0x6c, 0xff));
    await daemon.berth("build", "-t", "changed", directory);
    expect(await seen("changed")).toEqual(expected.filter((name) => name !== "all/l\xff"));
    const content = await daemon.berth("run", "--rm", "changed", "sh", "-c", "cat /some/f*");
    expect(content.out).toBe("another\n");
    symlinkSync(Buffer.from([0x66, 0xff, 0xfe]), bytes(directory, 0x6c, 0xff));
    const tar = Bun.spawnSync(["tar", "-C", directory, "-c", "."]).stdout;
    const piped = await daemon.berthWith({ stdin: tar }, "build", "-t", "piped", "-");
    expect(piped.status).toBe(0);
    expect(await seen("piped")).toEqual(expected);
    const classic = { env: { DOCKER_BUILDKIT: "0" } };
    const docker = await daemon.dockerWith(classic, "build", "-t", "docker", directory);
    expect(docker.status).toBe(0);
    expect(await seen("docker")).toEqual(expected);
  });
});

test("an image with such names is saved and loaded with them, and a container's are committed and copied", async () => {
  await within(async (directory) => {
    await daemon.berth("build", "-t", "named:1", directory);
    const saved = `${directory}.tar`;
    await daemon.berth("save", "-o", saved, "named:1");
    await daemon.berth("rmi", "-f", "named:1");
    await daemon.berth("builder", "prune", "-a", "-f");
    expect((await daemon.berth("load", "-i", saved)).status).toBe(0);
    rmSync(saved);
    expect(await seen("named:1")).toEqual(expected);
    const script = "rm -r /all/moved* && echo x > \"$(printf '/all/new\\377')\"";
    await daemon.berth("run", "--name", "odd", "named:1", "sh", "-c", script);
    await daemon.berth("commit", "odd", "committed");
    const inner = (name: string) => name.startsWith("all/moved");
    const now = [...expected.filter((name) => !inner(name)), "all/new\xff"].sort();
    expect(await seen("committed")).toEqual(now);
    const copied = await daemon.berth("cp", "odd:/all", `${directory}/copied`);
    expect([copied.status, copied.err]).toEqual([0, expect.any(String)]);
    const listed = Bun.spawnSync(["ls", `${directory}/copied`]).stdout.toString("latin1");
    expect(listed).toContain("new\xff\n");
    await daemon.berth("rm", "odd");
  });
});
