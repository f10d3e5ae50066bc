/** A registry whose storage cannot be written says so, and is well again when it can be. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { ContentStore, Downloads, Holds } from "../images/index.ts";
import { parseRegistryConfig } from "./config.ts";
import { RegistryDatabase } from "./database.ts";
import { Registry } from "./registry.ts";

test("503 while the storage is away", async () => {
  const root = mkdtempSync("/tmp/bp-");
  const content = new ContentStore(root);
  const [holds, downloads] = [new Holds(), new Downloads(content, 1)];
  const registry = new Registry({
    shared: { content, holds, downloads, usedElsewhere: () => false },
    data: new RegistryDatabase(new Database(":memory:")),
    uploadsDirectory: `${root}/uploads`,
  });
  const env = {
    REGISTRY_HEALTH_STORAGEDRIVER_ENABLED: "true",
    REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL: "1s",
    REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD: "1",
  };
  const port = await registry.serve({
    config: parseRegistryConfig(undefined, env, () => {}),
    address: { host: "127.0.0.1", port: 0 },
    ...{ tls: undefined, accessLog: undefined },
    open: () => {
      throw new Error("it is no cache");
    },
  });
  const until = async (status: number) => {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}/v2/`);
      const text = await answer.text();
      if (answer.status === status) return text;
      await Bun.sleep(20);
    }
  };
  try {
    await until(200);
    rmSync(`${root}/uploads`, { recursive: true });
    expect(await until(503)).toContain('"code":"UNAVAILABLE"');
    mkdirSync(`${root}/uploads`);
    await until(200);
  } finally {
    await registry.close(0);
    rmSync(root, { recursive: true });
  }
});
