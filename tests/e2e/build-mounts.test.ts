/** Mounts of RUN, and what of the host a RUN may have. */
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

async function within<T>(dockerfile: string, work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync("/tmp/mounts-");
  try {
    mkdirSync(join(directory, "dir"), { mode: 0o751 });
    writeFileSync(join(directory, "dir/file"), "file\n");
    writeFileSync(join(directory, "Dockerfile"), dockerfile);
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What RUN said. */
async function said(dockerfile: string, ...flags: string[]): Promise<string> {
  const done = await within(dockerfile, (directory) =>
    daemon.berth("build", "--progress", "plain", ...flags, directory),
  );
  expect([done.status, done.err]).toEqual([0, expect.any(String)]);
  return [...done.err.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map(([, text]) => text).join("\n");
}

const refused = (dockerfile: string, ...flags: string[]) =>
  within(dockerfile, (directory) => daemon.berth("build", ...flags, directory));

test("a bind that can be written shows what is written to its own RUN alone", async () => {
  const dockerfile = `FROM busybox AS tool
RUN mkdir -m 711 /t && chown 5:6 /t && echo tool > /t/x
FROM busybox
RUN --mount=target=/c,rw echo new > /c/dir/new && rm /c/dir/file && ls /c/dir && stat -c %a /c/dir
RUN --mount=type=bind,target=/c,readwrite=true ls /c/dir
RUN --mount=from=tool,source=t,target=/t,rw echo more >> /t/x && cat /t/x && stat -c '%u:%g %a' /t
RUN --mount=from=tool,source=t,target=/t,rw cat /t/x; test ! -e /c
RUN --mount=from=tool,source=/t/x,target=/one,rw echo one > /one && cat /one
RUN --mount=from=tool,target=/all,rw stat -c %a /all && echo 1 > /all/etc/passwd
RUN --mount=target=/c ! (echo new > /c/dir/new) 2>/dev/null && echo read-only
`;
  const expected = ["new", "751", "file", "tool", "more", "5:6 711", "tool", "one", "755"];
  expect(await said(dockerfile)).toBe([...expected, "read-only"].join("\n"));
});

test("a cache begins with the files of a stage, once for each state of it", async () => {
  const dockerfile = (text: string, more = "") => `FROM busybox AS seed
RUN mkdir -p /s/d && echo ${text} > /s/d/f && chown -R 5:6 /s
FROM busybox
RUN --mount=type=cache,id=seeded,from=seed,source=/s/d,target=/c cat /c/f && stat -c %u:%g /c/f; echo more >> /c/f
RUN --mount=type=cache,id=seeded,from=seed,target=/c cat /c/s/d/f ${more}
RUN --mount=type=cache,id=seeded,target=/c ls -A /c
`;
  expect(await said(dockerfile("one"))).toBe("one\n5:6\none\nmore");
  expect(await said(dockerfile("one", "#"))).toBe("one\nmore");
  expect(await said(dockerfile("two"))).toBe("two\n5:6\ntwo\nmore");
});

test("a cache is for one at a time, each its own, or for all at once, as sharing says", async () => {
  const meet = (
    sharing: string,
    script: (me: string, other: string) => string,
  ) => `FROM busybox AS a
RUN --mount=type=cache,id=${sharing},sharing=${sharing},target=/c ${script("a", "b")}
FROM busybox AS b
RUN --mount=type=cache,id=${sharing},sharing=${sharing},target=/c ${script("b", "a")}
FROM busybox
COPY --from=a /made /a
COPY --from=b /made /b
RUN cat /a /b
`;
  // Each waits for the other, inside of one directory.
  const both = (me: string, other: string) =>
    `touch /c/${me}; until [ -e /c/${other} ]; do sleep 0.02; done; echo met > /made`;
  expect(await said(meet("shared", both))).toBe("met\nmet");
  const alone = (me: string) =>
    `mkdir /c/turn || exit 1; echo ${me} >> /c/log; sleep 0.2; rmdir /c/turn; wc -l < /c/log > /made`;
  expect((await said(meet("locked", alone))).split("\n").sort()).toEqual(["1", "2"]);
  const own = (me: string) => `echo ${me} > /c/${me}; sleep 0.5; ls /c > /made`;
  expect(await said(meet("private", own))).toBe("a\nb");
});

test("the host's network and all rights are for builds that are allowed them", async () => {
  const network = `FROM busybox\nRUN --network=host ls /sys/class/net | grep -c . && readlink /proc/self/ns/net\n`;
  const insecure = `FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status && mount -t tmpfs none /tmp\n`;
  for (const [dockerfile, entitlement] of [
    [network, "network.host"],
    [insecure, "security.insecure"],
    [`FROM busybox\nRUN echo first\n${insecure.split("\n")[1]}\n`, "security.insecure"],
  ] as const) {
    const done = await refused(dockerfile);
    expect([done.status, done.err]).toEqual([
      1,
      expect.stringContaining(`${entitlement} is not allowed`),
    ]);
    // Nothing was run.
    expect(done.err).not.toContain("first\n");
  }
  const own = Bun.spawnSync(["readlink", "/proc/self/ns/net"]).stdout.toString().trim();
  expect(await said(network, "--allow", "network.host")).toContain(own);
  expect(await said(network, "--no-cache", "--network", "host")).toContain(own);
  const rights = /CapEff:\s*([0-9a-f]+)/;
  const all = rights.exec(await said(insecure, "--allow", "security.insecure"))?.[1] ?? "";
  const usual = rights.exec(await said("FROM busybox\nRUN grep CapEff /proc/self/status\n"))?.[1];
  expect(Number.parseInt(all, 16)).toBeGreaterThan(Number.parseInt(usual ?? "", 16));
  const unknown = await refused(network, "--allow", "everything");
  expect(unknown.err).toContain("invalid entitlement: everything");
});
