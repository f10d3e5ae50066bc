/**
 * Loaded before every run of tests. Where it is on daemons that are not root's (BERTH_TEST_ROOTLESS=1, BERTH_TEST_GUARDED=1),
 * what the mode's list has is skipped, with its reason beside its name. With BERTH_TEST_ROOTLESS_LISTED=1 (or
 * BERTH_TEST_GUARDED_LISTED=1) it is run all the same, and fails where it holds: so one sees that the list has grown too long.
 */
import * as real from "bun:test";
import { basename, join } from "node:path";
import { type Exception, modes, readExceptions } from "./rootless-exceptions.ts";

type Declare = (...args: unknown[]) => unknown;

const mode = modes.find(({ variable }) => process.env[variable] === "1");
const runListed = process.env[`${mode?.variable}_LISTED`] === "1";

/** `test` or `describe`, and what `.each(…)` and `.skipIf(…)` of it give, but not for what is listed. */
function guarded(
  declare: Declare,
  root: Declare & { skip: Declare; failing?: Declare },
  find: (name: string) => Exception | undefined,
): Declare {
  return new Proxy(declare, {
    apply(target, _self, args: unknown[]) {
      const [name, ...rest] = args;
      const listed = typeof name === "string" ? find(name) : undefined;
      if (listed === undefined) return target(...args);
      if (runListed) return (root.failing ?? target)(name, ...rest);
      return root.skip(`${name} [not without root: ${listed.why}]`, ...rest);
    },
    get(target, key) {
      const member: unknown = Reflect.get(target, key);
      if (typeof member !== "function" || key === "skip") return member;
      const bound = member.bind(target) as Declare;
      const isVerb = key === "only" || key === "concurrent" || key === "serial";
      if (isVerb) return guarded(bound, root, find);
      return (...args: unknown[]) => {
        const made = bound(...args);
        return typeof made === "function" ? guarded(made as Declare, root, find) : made;
      };
    },
  });
}

function leaveOut(exceptions: readonly Exception[]): void {
  const here = () => {
    const file = basename(Bun.main, ".test.ts");
    return exceptions.filter((one) => one.file === file);
  };
  const find = (name: string) => here().find((one) => one.name === name || one.name === "*");
  const whole = () => !runListed && here().some((one) => one.name === "*");
  /** A file of which nothing is run prepares nothing. */
  const hook =
    (declare: Declare): Declare =>
    (...args) =>
      whole() ? undefined : declare(...args);
  const kept = { ...real };
  const test = kept.test as unknown as Declare & { skip: Declare };
  const describe = kept.describe as unknown as Declare & { skip: Declare };
  real.mock.module("bun:test", () => ({
    ...kept,
    test: guarded(test, test, find),
    describe: guarded(describe, describe, find),
    beforeAll: hook(kept.beforeAll as Declare),
    beforeEach: hook(kept.beforeEach as Declare),
    afterEach: hook(kept.afterEach as Declare),
    afterAll: hook(kept.afterAll as Declare),
  }));
}

if (mode !== undefined) leaveOut(readExceptions(join(import.meta.dir, "../.."), mode));
