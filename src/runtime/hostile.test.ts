/** Seccomp profiles and cgroup files of every kind: a value, or a Fault that names what is wrong. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedJson, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { usageV1, usageV2 } from "./cgroup-stats.ts";
import {
  defaultSeccompProfile,
  parseSeccompProfile,
  resolveSeccomp,
  seccompFlags,
  seccompRules,
} from "./seccomp.ts";

const host = { architecture: "SCMP_ARCH_X86_64", arch: "amd64", kernel: "6.18.5" };
const small = {
  defaultAction: "SCMP_ACT_ERRNO",
  defaultErrnoRet: 1,
  flags: ["SECCOMP_FILTER_FLAG_LOG"],
  archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
  syscalls: [
    { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
    {
      names: ["clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: 2114060288, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      includes: { caps: ["CAP_SYS_ADMIN"], minKernel: "4.8", arches: ["amd64"] },
      excludes: { caps: ["CAP_SYS_PTRACE"], arches: ["s390"] },
      errnoRet: 38,
    },
    { name: "personality", action: "SCMP_ACT_ERRNO", args: [], comment: "" },
  ],
};
const firstCalls = (defaultSeccompProfile.syscalls ?? []).slice(-6);

test("a profile is refused, or is a filter that can be compiled", async () => {
  const profiles = damagedJson([small, { ...defaultSeccompProfile, syscalls: firstCalls }]);
  let good = 0;
  await checkAll(fc.tuple(profiles, fc.boolean()), async ([value, capable]) => {
    const profile = await valueOrFault(() => parseSeccompProfile(JSON.stringify(value) ?? ""));
    if (profile === undefined) return;
    good++;
    const filter = resolveSeccomp(profile, new Set(capable ? ["CAP_SYS_ADMIN"] : []), host);
    expect(seccompFlags(filter)).toBeNumber();
    for (const rule of seccompRules(filter).rules) {
      expect(rule.action).toBeNumber();
      for (const name of rule.names) expect(name).toBeString();
    }
  });
  expect(good).toBeGreaterThan(20);
});

test("text that is nearly a profile", async () => {
  await checkAll(damagedText([JSON.stringify(small)]), async (text) => {
    await valueOrFault(() => parseSeccompProfile(text));
  });
});

test("whatever stands in a cgroup's files, its usage is told", async () => {
  const files = damagedText([
    "user 10\nsystem 20\n",
    "8:0 Read 4096\n8:0 Write 1\nTotal 4097\n",
    "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
    "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\n__proto__ 3\n",
    "max\n",
    "9223372036854771712\n",
    "1 2 3 \n",
  ]);
  await checkAll(files, (text) => {
    for (const usage of [usageV1(() => text), usageV2(() => text)]) {
      for (const { major, minor } of usage.io.bytes)
        expect([Number.isFinite(major), Number.isFinite(minor)]).toEqual([true, true]);
      expect(Object.getPrototypeOf(usage.memory.stats)).toBe(Object.prototype);
    }
  });
});
