/** A berth-helper for the tests of one file, built from what is there and started before them. */
import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { type Kernel, startKernel } from "../../src/kernel/index.ts";

/** A compiler with sanitizers on a busy machine; milliseconds. */
const BUILD_MS = 600_000;

/** The helper, and a directory of the file's own that goes with it. */
export interface TestHelper {
  readonly directory: string;
  /** There from the first `beforeAll` behind it on. */
  readonly kernel: Kernel;
}

/** BERTH_TEST_SANITIZE=1 has it built with sanitizers. What is registered by `afterAll` before this call still has the helper. */
export function helperOfFile(): TestHelper {
  const directory = mkdtempSync("/tmp/berth-helper-");
  let kernel: Kernel | undefined;
  beforeAll(async () => {
    const sanitize = process.env.BERTH_TEST_SANITIZE ? ["sanitize"] : [];
    const words = ["sh", "native/helper/build.sh", `${directory}/helper`, ...sanitize];
    const built = Bun.spawnSync(words);
    if (built.exitCode !== 0) throw new Error(built.stderr.toString());
    kernel = await startKernel({
      helperPath: `${directory}/helper`,
      shimPath: "/bin/true",
      socketPath: `${directory}/helper.sock`,
    });
  }, BUILD_MS);
  afterAll(async () => {
    await kernel?.stop();
    rmSync(directory, { recursive: true });
  });
  return {
    directory,
    get kernel() {
      if (kernel === undefined) throw new Error("the helper has not been started");
      return kernel;
    },
  };
}
