/**
 * Docker's description of its API, walked: every operation called, every answer checked, and docs/api-coverage.md true.
 *
 * `BERTH_API_COVERAGE=write bun test tests/e2e/contract.test.ts` writes that page anew.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildScenarios } from "../contract/builds.ts";
import { Caller, Ledger } from "../contract/caller.ts";
import { Contract, contractExists } from "../contract/contract.ts";
import { createConfigScenarios } from "../contract/create-config.ts";
import { createHostScenarios } from "../contract/create-host.ts";
import { fileScenarios } from "../contract/files.ts";
import { imageScenarios } from "../contract/images.ts";
import { lifecycleScenarios } from "../contract/lifecycle.ts";
import { listScenarios } from "../contract/lists.ts";
import { networkScenarios } from "../contract/networks.ts";
import { own, reasons } from "../contract/reasons.ts";
import { registryScenarios } from "../contract/registries.ts";
import { coverageOf } from "../contract/report.ts";
import { streamScenarios } from "../contract/streams.ts";
import { systemScenarios } from "../contract/system.ts";
import { daemonOfFile } from "../kits/daemon.ts";

const page = join(import.meta.dir, "../../docs/api-coverage.md");

// Without the description there is nothing to walk: these tests are shown as skipped then.
describe.skipIf(!contractExists)("the contract", () => {
  if (!contractExists) return;
  const daemon = daemonOfFile(["--label", "room=one"]);
  const api = new Caller(new Contract(), new Ledger(), daemon.socket);
  for (const [name, scenario] of Object.entries({
    ...buildScenarios,
    ...systemScenarios,
    ...networkScenarios,
    ...imageScenarios,
    ...registryScenarios,
    ...fileScenarios,
    ...streamScenarios,
    ...lifecycleScenarios,
    ...listScenarios,
    ...createConfigScenarios,
    ...createHostScenarios,
  }))
    test(name, () => scenario(api));

  test("docs/api-coverage.md says what was seen, and each gap has its reason", () => {
    const { text, problems } = coverageOf(api.contract, api.ledger, reasons, own);
    if (process.env.BERTH_API_COVERAGE === "write") writeFileSync(page, text);
    expect(problems).toEqual([]);
    expect(text === readFileSync(page, "utf8"), "docs/api-coverage.md is out of date").toBe(true);
  });
});
