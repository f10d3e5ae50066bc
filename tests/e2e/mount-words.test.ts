/** Mounts as Docker has them where it is easily told wrong: when sources are made, what is refused and how, what is shown. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { checkAll, damagedJson } from "../kits/fuzz.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const work = scratchDirectory("bm-");

afterAll(() => rmSync(work, { recursive: true, force: true }));

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

async function refused(words: string, ...args: string[]): Promise<void> {
  const { status, err } = await daemon.berth(...args);
  expect(err, args.join(" ")).toContain(words);
  expect(status).not.toBe(0);
}

/** An image with links to the kernel's files, and directories with modes of their own. */
beforeAll(async () => {
  const script =
    "mkdir -p /w/bin /w/secret /w/closed; chmod 750 /w/secret; chmod 1711 /w/closed; cp /bin/busybox /w/bin; ln -s busybox /w/bin/sh; ln -s busybox /w/bin/ls; ln -s busybox /w/bin/stat; ln -s /proc/sys /w/sys-link; ln -s /proc /w/proc-link; ln -s proc-link/self/attr /w/attr-link; ln -s secret /w/secret-link; tar -C /w -c .";
  const { out } = await daemon.berth(
    "run",
    "--name",
    "maker",
    "busybox",
    "sh",
    "-c",
    `${script} > /image.tar`,
  );
  expect(out).toBe("");
  await done("cp", "maker:/image.tar", `${work}/image.tar`);
  await done("import", `${work}/image.tar`, "linked");
  await done("rm", "maker");
});

test("a missing directory of -v is made by each start, that of --mount never", async () => {
  const made = `${work}/made/deep`;
  await done("create", "--name", "late", "-v", `${made}:/d`, "busybox", "true");
  expect(existsSync(made)).toBe(false);
  for (let start = 0; start < 2; start++) {
    await done("start", "-a", "late");
    expect(existsSync(made)).toBe(true);
    rmSync(`${work}/made`, { recursive: true });
  }
  // Who takes a container's mounts over makes them, too.
  await done("run", "--rm", "--volumes-from", "late", "busybox", "true");
  expect(existsSync(made)).toBe(true);
  await done("rm", "late");
  const given = `${work}/given`;
  mkdirSync(given);
  await done("create", "--name", "strict", "--mount", `type=bind,src=${given},dst=/d`, "busybox");
  rmSync(given, { recursive: true });
  await refused(
    `invalid mount config for type "bind": bind source path does not exist: ${given}`,
    ...["start", "strict"],
  );
  expect(existsSync(given)).toBe(false);
  await done("rm", "strict");
});

test("a source that cannot be made is named, with the system's reason, by every client alike", async () => {
  writeFileSync(`${work}/file`, "content");
  for (const [source, reason] of [
    [`${work}/file/below`, "not a directory"],
    ["/proc/nosuch", "no such file or directory"],
  ] as const)
    for (const run of [daemon.berth.bind(daemon), daemon.docker.bind(daemon)])
      expect((await run("run", "--rm", "-v", `${source}:/d`, "busybox", "true")).err).toContain(
        `error while creating mount source path '${source}': mkdir ${source}: ${reason}`,
      );
  expect(await done("ps", "-aq")).toBe("");
});

test("a file is mounted on no directory, and a directory on no file", async () => {
  writeFileSync(`${work}/file`, "content");
  const hint =
    "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type";
  await refused(hint, "run", "--rm", "-v", `${work}/file:/etc`, "busybox", "true");
  await refused(hint, "run", "--rm", "-v", `${work}:/bin/busybox`, "busybox", "true");
  expect(
    await done("run", "--rm", "-v", `${work}/file:/new/place`, "busybox", "cat", "/new/place"),
  ).toBe("content");
});

test("nothing stands in place of the kernel's files in /proc, by no name and no link of an image", async () => {
  for (const target of ["/proc", "/proc/sys", "/proc/../proc/self/attr", "//proc/1"])
    for (const flags of [
      ["-v", `${work}:${target}`],
      ["-v", `named:${target}`],
      ["-v", target],
      ["--tmpfs", target],
      ["--mount", `type=tmpfs,dst=${target}`],
    ])
      await refused(
        "cannot be mounted because it is inside /proc",
        "run",
        "--rm",
        ...flags,
        "busybox",
        "true",
      );
  for (const link of ["/sys-link", "/proc-link/sys", "/attr-link"])
    for (const flags of [
      ["-v", `${work}:${link}`],
      ["-v", `named:${link}`],
      ["-v", link],
      ["--tmpfs", link],
    ])
      await refused("inside /proc", "run", "--rm", ...flags, "linked", "/bin/sh", "-c", "true");
  await done("volume", "rm", "-f", "named");
  // What lxcfs does.
  writeFileSync(`${work}/uptime`, "1.00 1.00\n");
  expect(
    await done(
      "run",
      "--rm",
      "-v",
      `${work}/uptime:/proc/uptime:ro`,
      "busybox",
      "cat",
      "/proc/uptime",
    ),
  ).toBe("1.00 1.00");
});

test("the host's own /proc and /sys can be had where the container's are, as monitors want them", async () => {
  expect(
    await done(
      "run",
      "--rm",
      "-v",
      "/proc:/proc:ro",
      "--pid",
      "host",
      "busybox",
      "cat",
      `/proc/${process.pid}/comm`,
    ),
  ).toBe(
    await Bun.file(`/proc/${process.pid}/comm`)
      .text()
      .then((text) => text.trim()),
  );
  // The interfaces that stay: those of the host, among them the daemon's bridge.
  const lasting = (names: readonly string[]) =>
    names.filter((name) => !name.startsWith("veth")).toSorted();
  const seen = await done("run", "--rm", "-v", "/sys:/sys:ro", "busybox", "ls", "/sys/class/net");
  expect(lasting(seen.split("\n"))).toEqual(lasting(readdirSync("/sys/class/net")));
  expect(
    (await daemon.berth("run", "--rm", "-v", "/sys:/sys:ro", "busybox", "touch", "/sys/x")).status,
  ).not.toBe(0);
});

test("a tmpfs has the mode of the directory that it hides, unless another is given", async () => {
  const modeOf = async (target: string, ...flags: string[]) =>
    done("run", "--rm", ...flags, "linked", "/bin/stat", "-c", "%a %u", target);
  expect(await modeOf("/secret", "--tmpfs", "/secret")).toBe("750 0");
  expect(await modeOf("/closed", "--tmpfs", "/closed:size=1m")).toBe("1711 0");
  expect(await modeOf("/secret", "--mount", "type=tmpfs,dst=/secret")).toBe("750 0");
  expect(await modeOf("/secret/", "--tmpfs", "/secret-link")).toBe("750 0");
  expect(await modeOf("/secret", "--tmpfs", "/secret:mode=700,uid=7")).toBe("700 7");
  expect(await modeOf("/secret", "--mount", "type=tmpfs,dst=/secret,tmpfs-mode=0701")).toBe(
    "701 0",
  );
  expect(await modeOf("/new", "--tmpfs", "/new")).toBe("1777 0");
});

test("modes are shown as Docker shows them: of what is named, of what is not, of what is taken over", async () => {
  await done(
    ...[
      "create",
      "--name",
      "shown",
      "-v",
      "named:/named",
      "-v",
      "named2:/ro:ro",
      "-v",
      "/anonymous",
    ],
    ...[
      "--mount",
      "type=volume,src=named3,dst=/mounted",
      "-v",
      `${work}:/bound`,
      "-v",
      `${work}:/labelled:ro,z`,
    ],
    ...["busybox", "true"],
  );
  await done("create", "--name", "heir", "--volumes-from", "shown:ro", "busybox", "true");
  const modes = async (name: string) => {
    const text = await daemon.inspect(
      name,
      "{{range .Mounts}}{{.Destination}} [{{.Mode}}] {{.RW}},{{end}}",
    );
    return text.split(",").filter(Boolean).toSorted();
  };
  // The comma of a mode is in two pieces here.
  expect(await modes("shown")).toEqual(
    [
      "/named [z] true",
      "/ro [ro] false",
      "/anonymous [] true",
      "/mounted [z] true",
      "/bound [] true",
      "/labelled [ro",
      "z] false",
    ].toSorted(),
  );
  expect(await modes("heir")).toEqual(
    ["/named", "/ro", "/anonymous", "/mounted", "/bound", "/labelled"]
      .map((at) => `${at} [] false`)
      .toSorted(),
  );
  await done("rm", "-v", "heir", "shown");
  await done("volume", "rm", "named", "named2", "named3");
});

test("options that belong to another kind of mount are refused", async () => {
  const around = (spec: string, type: string) =>
    `invalid volume specification: '${spec}': invalid mount config for type "${type}": field`;
  for (const [spec, type, field] of [
    ["named:/d:rshared", "volume", "BindOptions"],
    ["/d:/d:nocopy", "bind", "VolumeOptions"],
  ] as const)
    await refused(
      `${around(spec, type)} ${field} must not be specified`,
      "create",
      "-v",
      spec,
      "busybox",
    );
  await refused('invalid tmpfs option ["bogus" "1"]', "create", "--tmpfs", "/t:bogus=1", "busybox");
  await refused('invalid tmpfs option ["bogus"]', "create", "--tmpfs", "/t:bogus", "busybox");
  expect(await done("volume", "ls", "-q")).toBe("");
});

test("a request with whatever in its mounts is a container or a mistake of the client's, and nothing is left of it", async () => {
  const corpus = [
    {
      Binds: [`${work}:/a:ro`, "fuzz:/b", "/c"],
      Tmpfs: { "/t": "size=1m,ro" },
      VolumesFrom: ["nobody:ro"],
      VolumeDriver: "local",
    },
    {
      Mounts: [
        { Type: "bind", Source: work, Target: "/m", BindOptions: { Propagation: "rprivate" } },
        { Type: "volume", Source: "fuzz", Target: "/v", VolumeOptions: { Labels: { a: "b" } } },
        { Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 4096, Options: [["exec"]] } },
        { Type: "image", Source: "busybox", Target: "/i", ImageOptions: { Subpath: "bin" } },
      ],
    },
  ];
  const seen = new Set<number>();
  await checkAll(damagedJson(corpus), async (HostConfig) => {
    const asked = { Image: "busybox", Cmd: ["true"], HostConfig };
    const { status, text } = await daemon.api("POST", "/containers/create", asked);
    seen.add(status);
    expect(status, `${JSON.stringify(HostConfig)}: ${text}`).toBeLessThan(500);
    if (status !== 201) return;
    const { Id } = JSON.parse(text) as { Id: string };
    expect((await daemon.api("DELETE", `/containers/${Id}?v=1&force=1`)).status).toBe(204);
  });
  expect(seen.has(201) && seen.has(400)).toBe(true);
  const volumes = (await done("volume", "ls", "-q")).split("\n").filter(Boolean);
  if (volumes.length > 0) await done("volume", "rm", ...volumes);
  expect(await done("ps", "-aq")).toBe("");
  expect(existsSync(`${work}/image.tar`)).toBe(true);
});
