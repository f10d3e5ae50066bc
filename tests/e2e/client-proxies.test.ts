/** Proxies of the user's config.json, in containers and builds: as docker's client has them there. */
import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { daemonOfFile } from "../kits/daemon.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const proxies = { default: { httpProxy: "http://proxy.test:3128", noProxy: "localhost" } };

test("containers and builds have them, unless they are told others", async () => {
  const home = scratchDirectory("berth-home-");
  const env = { ...process.env, DOCKER_CONFIG: home };
  const run = (program: string, ...words: string[]) => {
    const { stdout, stderr } = Bun.spawnSync([program, "-H", `unix://${daemon.socket}`, ...words], {
      env,
    });
    return [stdout.toString(), stderr.toString()];
  };
  writeFileSync(`${home}/config.json`, JSON.stringify({ proxies }));
  mkdirSync(`${home}/context`);
  writeFileSync(
    `${home}/context/Dockerfile`,
    "FROM busybox\nRUN echo $http_proxy $NO_PROXY > /seen\nCMD cat /seen\n",
  );
  try {
    const words = ["run", "--rm", "-e", "NO_PROXY=mine", "busybox", "sh", "-c"];
    const asked = "env | grep -i proxy | sort";
    const wanted = [
      "HTTP_PROXY=http://proxy.test:3128",
      ...["NO_PROXY=mine", "http_proxy=http://proxy.test:3128", "no_proxy=localhost", ""],
    ].join("\n");
    for (const program of ["dist/berth", "docker"])
      expect([program, ...run(program, ...words, asked)]).toEqual([program, wanted, ""]);
    expect(run("dist/berth", "build", "-q", "-t", "proxied", `${home}/context`)[1]).toBe("");
    writeFileSync(`${home}/config.json`, "{}");
    expect(run("dist/berth", "run", "--rm", "proxied")).toEqual([
      "http://proxy.test:3128 localhost\n",
      "",
    ]);
    // They are in the build alone, and not in what it has made.
    expect(await daemon.inspect("proxied", "{{json .Config.Env}}")).not.toContain("proxy");
  } finally {
    rmSync(home, { recursive: true });
  }
});
