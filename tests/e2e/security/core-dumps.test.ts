/** What has credentials in its memory leaves none of it behind when it dies. */
import { expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TestDaemon } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const executable = join(import.meta.dir, "../../../dist/berth");
/** A process that may dump its core into a directory. */
const dumping = (directory: string) => [
  ...["sh", "-c", `ulimit -c unlimited; cd ${directory}; exec "$@"`, "sh"],
];
const scratch = () => scratchDirectory("bt-core-");
const cores = (directory: string) =>
  readdirSync(directory).filter((name) => name.startsWith("core"));

/** Whether this host writes cores into the working directory at all. */
async function hostDumps(): Promise<boolean> {
  if (!/^core/.test(readFileSync("/proc/sys/kernel/core_pattern", "utf8"))) return false;
  const directory = scratch();
  const child = Bun.spawn([...dumping(directory), "sleep", "1000"]);
  while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep"))
    await Bun.sleep(5);
  child.kill("SIGABRT");
  await child.exited;
  const found = cores(directory).length > 0;
  rmSync(directory, { recursive: true });
  return found;
}

const isPossible = await hostDumps();

test.skipIf(!isPossible)(
  "the daemon leaves no core dump (skipped where the host writes none)",
  async () => {
    const directory = scratch();
    const daemon = await new TestDaemon([], dumping(directory)).start();
    try {
      expect(readFileSync(`/proc/${daemon.pid}/limits`, "utf8")).toMatch(
        /core file size +unlimited/,
      );
      process.kill(daemon.pid, "SIGABRT");
      // Who is killed besides leaves half a core, or none.
      await daemon.ended();
      expect(cores(directory)).toEqual([]);
      // Containers are not concerned: what they may dump is theirs to say.
      await daemon.start();
      const { out } = await daemon.berth("run", "--rm", "busybox", "sh", "-c", "ulimit -c");
      expect(out).toBe("unlimited\n");
    } finally {
      await daemon.destroy();
      rmSync(directory, { recursive: true });
    }
  },
);

test.skipIf(!isPossible)(
  "a command that has read a password leaves none either (skipped where the host writes none)",
  async () => {
    const directory = scratch();
    const bin = `${directory}/bin`;
    const asked = `${directory}/asked`;
    Bun.spawnSync(["mkdir", bin]);
    // It gives the password when it is told to, and the command waits for a registry that does not answer.
    writeFileSync(
      `${bin}/docker-credential-slow`,
      '#!/bin/sh\ncat >/dev/null\necho \'{"Username":"u","Secret":"hidden-word"}\'\n',
    );
    chmodSync(`${bin}/docker-credential-slow`, 0o755);
    writeFileSync(`${directory}/config.json`, '{"credsStore":"slow"}');
    const silent = Bun.serve({
      unix: `${directory}/s`,
      fetch: async () => {
        writeFileSync(asked, "");
        await Bun.sleep(60_000);
        return new Response();
      },
    });
    const child = Bun.spawn([...dumping(directory), executable, "pull", "127.0.0.1:9/x"], {
      env: {
        ...process.env,
        PATH: `${bin}:${process.env.PATH}`,
        DOCKER_CONFIG: directory,
        BERTH_HOST: `unix://${directory}/s`,
      },
      stdout: "ignore",
      stderr: "ignore",
    });
    while (!readdirSync(directory).includes("asked") && child.exitCode === null)
      await Bun.sleep(10);
    child.kill("SIGABRT");
    await child.exited;
    await silent.stop(true);
    expect(readdirSync(directory)).toContain("asked");
    expect(cores(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
  },
);
