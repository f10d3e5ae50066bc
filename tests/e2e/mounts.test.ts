/** Mounts with all their options, and that none of them leads out of where it may lead. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Mount } from "../../src/spec/engine-api.ts";
import { daemonOfFile, TestDaemon } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const scratch = scratchDirectory("bt-mounts-");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function command(...argv: string[]): void {
  const done = Bun.spawnSync(argv);
  if (!done.success) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
}

/** What a container prints that mounts so. */
async function run(mounts: readonly Mount[], script: string, version = ""): Promise<string> {
  const asked = { Image: "busybox", Cmd: ["sh", "-c", script], HostConfig: { Mounts: mounts } };
  const { status, text } = await daemon.api("POST", `${version}/containers/create`, asked);
  expect(status, text).toBe(201);
  const { Id } = JSON.parse(text) as { Id: string };
  const { out, err } = await daemon.berth("start", "-a", Id);
  await daemon.berth("rm", "-f", "-v", Id);
  return `${out}${err}`.trim();
}

const inVolume = (name: string, script: string) =>
  daemon.berth("run", "--rm", "-v", `${name}:/v`, "busybox", "sh", "-c", script);
const part = (name: string, Subpath: string, more: Mount = {}): Mount => ({
  Type: "volume",
  Source: name,
  Target: "/p",
  VolumeOptions: { Subpath },
  ...more,
});

test("a part of a volume is mounted, a directory or a file, and nothing else of it is seen", async () => {
  const made = "mkdir -p /v/a/b; echo inner > /v/a/b/f; echo outer > /v/f; echo > /v/a/b/keep";
  expect((await inVolume("parts", made)).err).toBe("");
  expect(await run([part("parts", "a/b")], "cat /p/f; ls /p; echo new > /p/made")).toBe(
    "inner\nf\nkeep",
  );
  expect(await run([part("parts", "./a//b/f")], "cat /p")).toBe("inner");
  expect((await inVolume("parts", "cat /v/a/b/made")).out).toBe("new\n");
  const readOnly = part("parts", "a/b", { ReadOnly: true });
  expect(await run([readOnly], "touch /p/x 2>&1")).toContain("Read-only file system");
  expect(await run([part("parts", "missing/part")], "true")).toContain(
    "cannot access path missing/part: no such file or directory",
  );
  expect(
    (
      await daemon.docker(
        "run",
        "--rm",
        "--mount",
        "source=parts,target=/p,volume-subpath=a",
        "busybox",
        "ls",
        "/p",
      )
    ).out,
  ).toBe("b\n");
});

test("links in a volume lead nowhere but into the volume", async () => {
  const made =
    "mkdir -p /v/etc /v/in; echo volume > /v/etc/hostname; ln -s /etc/hostname /v/in/absolute; ln -s ../../../../../../etc/hostname /v/in/up; ln -s / /v/in/root; ln -s /proc/self/root /v/in/magic";
  expect((await inVolume("links", made)).err).toBe("");
  expect(await run([part("links", "in/absolute")], "cat /p")).toBe("volume");
  expect(await run([part("links", "in/up")], "cat /p")).toBe("volume");
  expect(await run([part("links", "in/root")], "ls /p")).toBe("etc\nin");
  expect(await run([part("links", "in/magic")], "true")).toContain("cannot access path");
});

test("a part that another container swaps for a link all the time leads to no file of the host's", async () => {
  mkdirSync(`${scratch}/host`);
  writeFileSync(`${scratch}/host/mark`, "the host's");
  expect((await inVolume("race", "mkdir /v/a; echo safe > /v/a/mark")).err).toBe("");
  const swapping = `ln -s ${scratch}/host /v/link; while :; do mv /v/a /v/dir; mv /v/link /v/a; mv /v/a /v/link; mv /v/dir /v/a; done`;
  const attack = [
    "run",
    "-d",
    "--name",
    "attack",
    "-v",
    "race:/v",
    "busybox",
    "sh",
    "-c",
    swapping,
  ];
  expect((await daemon.berth(...attack)).err).toBe("");
  await daemon.berth(
    "create",
    "--name",
    "victim",
    "--mount",
    "src=race,dst=/p,volume-subpath=a",
    "busybox",
  );
  const seen: string[] = [];
  for (let tries = 0; tries < 25; tries++) {
    seen.push(await run([part("race", "a")], "cat /p/mark"));
    seen.push((await daemon.berth("cp", "victim:/p/mark", "-")).out);
    await daemon.berthWith({ stdin: tarOf("written") }, "cp", "-", "victim:/p");
  }
  await daemon.berth("rm", "-f", "attack", "victim");
  expect(seen.join("\n")).toContain("safe");
  expect(seen.join("\n")).not.toContain("the host's");
  expect([...new Bun.Glob("*").scanSync(`${scratch}/host`)]).toEqual(["mark"]);
});

/** An archive of one empty file. */
function tarOf(name: string): Uint8Array {
  mkdirSync(`${scratch}/tar`, { recursive: true });
  writeFileSync(`${scratch}/tar/${name}`, "");
  const { stdout } = Bun.spawnSync(["tar", "-C", `${scratch}/tar`, "-c", name]);
  return stdout;
}

test("cp goes in and out of a part of a volume, of a container that runs and of one that does not", async () => {
  expect(
    (await inVolume("copied", "mkdir /v/sub; echo one > /v/sub/one; echo no > /v/no")).err,
  ).toBe("");
  const mount = "src=copied,dst=/p,volume-subpath=sub";
  await daemon.berth("create", "--name", "still", "--mount", mount, "busybox", "sleep", "1000");
  for (const when of ["stopped", "running"]) {
    expect((await daemon.berthWith({ stdin: tarOf(when) }, "cp", "-", "still:/p")).err).toBe("");
    const { out } = await daemon.berth("cp", "still:/p", "-");
    for (const name of ["p/one", `p/${when}`]) expect(out).toContain(name);
    expect(out).not.toContain("p/no");
    await daemon.berth("start", "still");
  }
  await daemon.berth("rm", "-f", "still");
  expect((await inVolume("copied", "ls /v/sub")).out).toBe("one\nrunning\nstopped\n");
});

test("--volumes-from takes parts over, and a missing source is made only when asked for", async () => {
  expect((await inVolume("lent", "mkdir /v/sub; echo one > /v/sub/one")).err).toBe("");
  await daemon.berth(
    "create",
    "--name",
    "owner",
    "--mount",
    "src=lent,dst=/p,volume-subpath=sub",
    "busybox",
  );
  const { out } = await daemon.berth(
    "run",
    "--rm",
    "--volumes-from",
    "owner:ro",
    "busybox",
    "sh",
    "-c",
    "ls /p; touch /p/x 2>&1 | grep -c Read-only",
  );
  expect(out).toBe("one\n1\n");
  await daemon.berth("rm", "owner");
  const Source = `${scratch}/made/deep`;
  const made: Mount = {
    Type: "bind",
    Source,
    Target: "/m",
    BindOptions: { CreateMountpoint: true },
  };
  expect(await run([made], "touch /m/x; ls /m")).toBe("x");
});

test("a read-only bind is read-only all the way down, unless asked otherwise", async () => {
  const top = `${scratch}/tree`;
  mkdirSync(`${top}/below`, { recursive: true });
  const there = (...words: string[]) => command(...daemon.inMounts, ...words);
  there("mount", "-t", "tmpfs", "tmpfs", `${top}/below`);
  try {
    there("touch", `${top}/below/mark`);
    const bind = (BindOptions: Mount["BindOptions"]): Mount => ({
      Type: "bind",
      Source: top,
      Target: "/m",
      ReadOnly: true,
      BindOptions,
    });
    const script =
      "touch /m/x 2>/dev/null || echo ro; touch /m/below/x 2>/dev/null || echo ro; ls /m/below";
    expect(await run([bind({})], script)).toBe("ro\nro\nmark");
    expect(await run([bind({ ReadOnlyForceRecursive: true })], script)).toBe("ro\nro\nmark");
    expect(await run([bind({ ReadOnlyNonRecursive: true })], script)).toBe("ro\nmark\nx");
    expect(await run([bind({})], script, "/v1.43")).toBe("ro\nmark\nx");
    expect(await run([bind({ NonRecursive: true })], script)).toBe("ro\nro");
    const { out } = await daemon.berth(
      "run",
      "--rm",
      "-v",
      `${top}:/m:ro`,
      "busybox",
      "sh",
      "-c",
      script,
    );
    expect(out).toBe("ro\nro\nmark\nx\n");
  } finally {
    there("umount", `${top}/below`);
  }
});

test("mounts of a container that shares them with the host are the host's, and the host keeps all of its own", async () => {
  // A host whose mounts are shared, as systemd makes them.
  const shared = 'mount --make-rshared /; exec "$@"';
  const within = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shared, "sh"];
  const host = await new TestDaemon([], within).start();
  const mounts = () => readFileSync(`/proc/${host.pid}/mountinfo`, "utf8");
  try {
    const before = mounts();
    mkdirSync(`${scratch}/shared`);
    const script = "mount -t tmpfs made /x; until [ -e /go ]; do sleep 0.05; done; umount /x";
    const asked = [
      "run",
      "-d",
      "--name",
      "sharing",
      "--cap-add",
      "SYS_ADMIN",
      "-v",
      `${scratch}/shared:/x:rshared`,
      "busybox",
      "sh",
      "-c",
      script,
    ];
    expect((await host.docker(...asked)).err).toBe("");
    await host.until("sharing", "{{.State.Running}}", "true");
    for (let tries = 0; tries < 500 && !mounts().includes(`${scratch}/shared`); tries++)
      await Bun.sleep(10);
    const added = mounts()
      .split("\n")
      .filter((line) => !before.includes(line));
    expect(added.length).toBe(1);
    expect(added[0]).toContain(`${scratch}/shared`);
    await host.berth("exec", "sharing", "touch", "/go");
    await host.until("sharing", "{{.State.Running}}", "false");
    expect(mounts()).toBe(before);
    const slave = ["run", "--rm", "-v", `${scratch}/shared:/x:rslave`, "busybox", "true"];
    expect((await host.berth(...slave)).err).toBe("");
    expect(mounts()).toBe(before);
  } finally {
    await host.destroy();
  }
});

test("a bind is shared only where the host's mount is", async () => {
  mkdirSync(`${scratch}/private`);
  const there = (...words: string[]) => command(...daemon.inMounts, ...words);
  there("mount", "-t", "tmpfs", "tmpfs", `${scratch}/private`);
  there("mount", "--make-private", `${scratch}/private`);
  try {
    const { err } = await daemon.berth(
      "run",
      "--rm",
      "-v",
      `${scratch}/private:/x:shared`,
      "busybox",
      "true",
    );
    expect(err).toContain(
      `path ${scratch}/private is mounted on ${scratch}/private but it is not a shared mount`,
    );
  } finally {
    there("umount", `${scratch}/private`);
  }
});

test("an image is mounted read-only, whole or in part, and is kept while it is", async () => {
  await daemon.berth(
    "run",
    "--name",
    "second",
    "busybox",
    "sh",
    "-c",
    "mkdir /more; echo two > /more/f; rm /etc/group",
  );
  expect((await daemon.berth("commit", "second", "layered")).err).toBe("");
  await daemon.berth("rm", "second");
  const image = (Source: string, Subpath = ""): Mount => ({
    Type: "image",
    Source,
    Target: "/i",
    ...(Subpath === "" ? {} : { ImageOptions: { Subpath } }),
  });
  for (const name of ["busybox", "layered"]) {
    expect(await run([image(name)], "ls -d /i/bin; touch /i/x 2>&1")).toMatch(
      /^\/i\/bin\n.*Read-only/,
    );
    expect(
      await run([image(name, "etc")], "ls -d /i/passwd /i/bin 2>/dev/null; touch /i/x 2>&1"),
    ).toMatch(/^\/i\/passwd\n.*Read-only/);
    expect(await run([image(name, "etc/passwd")], "grep -c ^root: /i")).toBe("1");
    expect(await run([image(name, "no/such")], "true")).toContain("cannot access path no/such");
  }
  expect(await run([image("layered")], "cat /i/more/f; ls /i/etc/group 2>&1")).toMatch(
    /^two\n.*No such file/,
  );
  const asked = [
    "create",
    "--name",
    "user",
    "--mount",
    "type=image,source=layered,target=/i,image-subpath=more",
    "busybox",
  ];
  expect((await daemon.docker(...asked)).err).toBe("");
  expect((await daemon.berth("rmi", "layered")).err).toContain("conflict");
  expect((await daemon.berth("cp", "user:/i/f", "-")).out).toContain("two");
  expect((await daemon.berthWith({ stdin: tarOf("x") }, "cp", "-", "user:/i")).err).toContain(
    "read-only",
  );
  expect(await daemon.inspect("user", "{{(index .Mounts 0).Type}} {{(index .Mounts 0).RW}}")).toBe(
    "image false",
  );
  await daemon.berth("rm", "user");
  expect((await daemon.berth("rmi", "layered")).err).toBe("");
  expect(await run([image("busybox")], "true")).toBe("");
  const unknown = { Image: "busybox", HostConfig: { Mounts: [image("nosuch")] } };
  expect((await daemon.api("POST", "/containers/create", unknown)).status).toBe(404);
});

test("files of the invoking user are the container's user's, and back; other owners stay as they are", async () => {
  const place = `${scratch}/owned`;
  mkdirSync(place);
  for (const [name, uid, gid] of [
    ["mine", 1000, 1001],
    ["roots", 0, 0],
    ["other", 77, 78],
  ] as const) {
    writeFileSync(`${place}/${name}`, "");
    command("chown", `${uid}:${gid}`, `${place}/${name}`);
  }
  command("chown", "1000:1001", place);
  const mount = `type=bind,src=${place},dst=/p,idmap=match-user`;
  const as = (user: string, script: string, more: Readonly<Record<string, string>> = {}) =>
    daemon.berthWith(
      { env: { SUDO_UID: "1000", SUDO_GID: "1001", ...more } },
      ...["run", "--rm", "-u", user, "--mount", mount, "busybox", "sh", "-c", script],
    );
  const show = "cd /p; stat -c '%n %u:%g' mine roots other .";
  expect((await as("0", show)).out).toBe("mine 0:0\nroots 1000:1001\nother 77:78\n. 0:0\n");
  expect((await as("4321:99", `${show}; echo made > made`)).out).toBe(
    "mine 4321:99\nroots 0:0\nother 77:78\n. 4321:99\n",
  );
  const { uid, gid } = statSync(`${place}/made`);
  expect({ uid, gid }).toEqual({ uid: 1000, gid: 1001 });
  // By the API without a user: whoever owns the source.
  const BindOptions = { Berth: { IdMap: "match-user" } } as Mount["BindOptions"];
  expect(await run([{ Type: "bind", Source: place, Target: "/p", BindOptions }], show)).toStartWith(
    "mine 0:0\nroots 1000:1001",
  );
  const elsewhere = await daemon.berth(
    "run",
    "--rm",
    "-u",
    "5",
    "--mount",
    "type=bind,src=/proc,dst=/p,idmap=match-user",
    "busybox",
    "true",
  );
  expect(elsewhere.err).toContain(
    "its file system, or one below it, cannot map owners: /proc: invalid argument",
  );
  const wrong = await daemon.api("POST", "/containers/create", {
    Image: "busybox",
    HostConfig: {
      Mounts: [
        { Type: "bind", Source: place, Target: "/p", BindOptions: { Berth: { IdMap: "all" } } },
      ],
    },
  });
  expect(wrong.status, wrong.text).toBe(400);
});

test("--mount and -v are refused in the words of docker's command line", async () => {
  const bind = `type=bind,source=${scratch},target=/x`;
  for (const option of [
    "--mount=type=bind",
    "--mount=type=,target=/x",
    `--mount=${bind},foo`,
    `--mount=${bind},foo=bar`,
    `--mount=${bind},ro=2`,
    `--mount=${bind},bind-recursive=foo`,
    `--mount=${bind},bind-recursive=writable`,
    `--mount=${bind},bind-recursive=readonly,readonly`,
    `--mount=${bind},bind-propagation=foo`,
    `--mount=${bind},volume-nocopy`,
    `--mount=type=bind,source=${scratch}/nowhere,target=/x`,
    "--mount=source=v1,target=/x,volume-nocopy=foo",
    "--mount=source=v1,target=/x,volume-subpath=../up",
    "--mount=target=/x,volume-subpath=up",
    "--mount=type=tmpfs,target=/x,tmpfs-mode=9",
    "--mount=type=image,target=/x",
    '--mount="type=bind',
    '--mount=type="bind"',
    '--mount="type"=bind',
    "-v/tmp:/x:ro,rw",
    "--volume=",
    "-v:/x",
    "-v/tmp::ro",
    "-va:b:c:d",
    "-vv1:relative",
    "-vv1:/x:bad",
    "-vv1:/x:rshared",
    "-v/tmp:/x:nocopy",
    "-vbad name:/x",
    "-v/tmp:/proc/sys",
    "--volumes-from=",
    "--volumes-from=nosuch",
    "--tmpfs=relative",
    "--tmpfs=/",
    "--tmpfs=/x:bogus=1",
    "--mount=type=bogus,target=/x",
    "--mount=source=v1,target=x",
    "--mount=type=tmpfs,target=/x,source=y",
    "--mount=type=bind,source=rel,target=/x",
    "--volume-driver=nosuch -v=v1:/x",
    "-v/tmp:/",
    "--tmpfs=/x:size=foo",
  ]) {
    const [theirs, ours] = await Promise.all([
      daemon.docker("create", ...option.split(/ (?=-)/), "busybox"),
      daemon.berth("create", ...option.split(/ (?=-)/), "busybox"),
    ]);
    const plain = (text: string) =>
      text.replaceAll("docker create", "berth create").replace(/^docker: /, "berth: ");
    expect(theirs.status, option).not.toBe(0);
    expect(plain(theirs.err)).toContain(plain(ours.err).split("\n")[0] || option);
    expect(ours.status, option).toBe(theirs.status);
  }
});
