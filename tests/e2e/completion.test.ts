/** Completion in the shells themselves, with the names that the daemon has. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const bin = `${daemon.directory}/bin`;
mkdirSync(bin);
writeFileSync(
  `${bin}/berth`,
  `#!/bin/sh\nexec "${join(import.meta.dir, "../../dist/berth")}" "$@"\n`,
);
chmodSync(`${bin}/berth`, 0o755);
mkdirSync(`${daemon.directory}/here`);
writeFileSync(`${daemon.directory}/here/some file.tar`, "");
mkdirSync(`${daemon.directory}/here/sources`);

async function shell(argv: readonly string[], script: string): Promise<string[]> {
  const child = Bun.spawn([...argv, script], {
    cwd: `${daemon.directory}/here`,
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: daemon.directory,
      BERTH_HOST: `unix://${daemon.socket}`,
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect([err, await child.exited]).toEqual(["", 0]);
  return out.split("\n").filter(Boolean);
}

/** What bash offers at the end of a line. */
function inBash(line: string): Promise<string[]> {
  return shell(
    ["bash", "--norc", "-c"],
    `source <(berth completion bash); COMP_LINE=${JSON.stringify(line)}; COMP_POINT=\${#COMP_LINE}; _berth 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`,
  );
}

const begin = async () => {
  await daemon.berth("run", "-d", "--name", "web-runs", "busybox", "sleep", "1000");
  await daemon.berth("create", "--name", "web-new", "busybox", "true");
  await daemon.berth("volume", "create", "web-data");
  await daemon.berth("tag", "busybox", "shop/web:1.2");
};

test("bash: commands, flags, and names of what there is", async () => {
  await begin();
  expect(await inBash("berth he")).toEqual(["help"]);
  expect(await inBash("berth container unp")).toEqual(["unpause"]);
  expect(await inBash("berth run --volumes-fr")).toEqual(["--volumes-from"]);
  expect(await inBash("berth stop web")).toEqual(["web-runs"]);
  expect(await inBash("berth start web")).toEqual(["web-new"]);
  expect(await inBash("berth rm -f web-new we")).toEqual(["web-new", "web-runs"]);
  expect(await inBash("berth run --rm -it shop/web:")).toEqual(["1.2"]);
  expect(await inBash("berth volume rm web")).toEqual(["web-data"]);
  expect(await inBash("berth run --network=no")).toEqual(["none"]);
  expect(await inBash("berth --log-level debug logs web")).toEqual(["web-new", "web-runs"]);
  expect(await inBash("berth load -i so")).toEqual(["some file.tar", "sources"]);
  expect(await inBash("berth build so")).toEqual(["sources"]);
  expect(await inBash("berth nosuch x")).toEqual([]);
  expect(await inBash("berth ps --filter status=r")).toEqual(["restarting", "running"]);
  expect(await inBash("berth volume ls -f dang")).toEqual(["dangling=false", "dangling=true"]);
  expect(await inBash("berth network create --driver=mac")).toEqual(["macvlan"]);
  expect(await inBash("berth run --stop-signal SIGK")).toEqual(["SIGKILL"]);
  expect(await inBash("berth completion z")).toEqual(["zsh"]);
  expect(await inBash("berth help volu")).toEqual(["volume"]);
});

test("without a daemon there are no names, no error, and none is started", async () => {
  const env = { BERTH_HOST: "unix:///nonexistent/socket" };
  const done = await daemon.berthWith({ env }, "__complete", "words", "stop", "");
  expect([done.out, done.err, done.status]).toEqual([":nothing\n", "", 0]);
});

test("names and tags from elsewhere bring nothing that a shell or terminal would obey", async () => {
  const { out } = await daemon.berth("__complete", "words", "rmi", "");
  for (const line of out.trim().split("\n")) expect(line).toMatch(/^[\w.:/@-]+$/);
});

for (const [name, argv, ask] of [
  [
    "zsh",
    ["zsh", "-f", "-c"],
    (line: string) =>
      `compdef() { :; }; source <(berth completion zsh)
     _describe() { print -l "\${(@P)3}"; }; _files() { print files; }
     words=(${line} ''); CURRENT=\${#words}; _berth`,
  ],
  [
    "fish",
    ["fish", "--no-config", "-c"],
    (line: string) => `berth completion fish | source; complete -C ${JSON.stringify(`${line} `)}`,
  ],
] as const) {
  test.skipIf(Bun.which(name) === null)(`${name}: the same, with words about them`, async () => {
    const offered = await shell(argv, ask("berth stop"));
    expect(offered.length).toBe(1);
    expect(offered[0]).toMatch(/^web-runs[\t:]busybox, Up /);
    expect((await shell(argv, ask("berth context"))).join("\n")).toContain("create");
    const filters = await shell(argv, ask("berth container ls --filter"));
    expect(filters.join("\n")).toContain("status=running");
    for (const [line, wanted] of [
      ["berth volume rm", "web-data"],
      ["berth network rm", "bridge"],
      ["berth rmi", "shop/web"],
      ["berth context use", "default"],
    ] as const)
      expect([line, (await shell(argv, ask(line))).join("\n")]).toEqual([
        line,
        expect.stringContaining(wanted),
      ]);
  });
}
