import { expect, test } from "bun:test";
import {
  defaultSeccompProfile,
  parseSeccompProfile,
  resolveSeccomp,
  seccompFlags,
  seccompRules,
} from "./seccomp.ts";

const host = { architecture: "SCMP_ARCH_X86_64", arch: "amd64", kernel: "6.1.0-test" };
const allowed = (capabilities: string[], kernel = host.kernel) =>
  new Set(
    resolveSeccomp(defaultSeccompProfile, new Set(capabilities), { ...host, kernel })
      .syscalls.filter((call) => call.action === "SCMP_ACT_ALLOW" && !call.args)
      .flatMap((call) => call.names),
  );

test("a capability brings its system calls, and only it does", () => {
  expect(allowed([]).has("mount")).toBe(false);
  expect(allowed(["CAP_SYS_ADMIN"]).has("mount")).toBe(true);
  expect(allowed([]).has("unshare")).toBe(false);
  expect(allowed([]).has("read")).toBe(true);
});

test("a rule for newer kernels is left out on an old one", () => {
  expect(allowed([], "4.4.0").has("ptrace")).toBe(false);
  expect(allowed([], "4.8.0").has("ptrace")).toBe(true);
});

test("sub-architectures come along, actions carry their errno", () => {
  const filter = resolveSeccomp(defaultSeccompProfile, new Set(), host);
  const { architectures, defaultAction, rules } = seccompRules(filter);
  expect(architectures).toEqual(["x86_64", "x86", "x32"]);
  expect(defaultAction).toBe(0x00050001);
  const clone3 = rules.find((rule) => rule.names.includes("clone3") && rule.action !== 0x7fff0000);
  expect(clone3?.action).toBe(0x00050000 | 38);
});

test("AF_ALG sockets are not allowed", () => {
  const sockets = resolveSeccomp(defaultSeccompProfile, new Set(), host).syscalls.filter((call) =>
    call.names.includes("socket"),
  );
  const passes = (family: number) =>
    sockets.some((call) =>
      (call.args ?? []).every(({ op, value }) =>
        op === "SCMP_CMP_LT"
          ? family < value
          : op === "SCMP_CMP_GT"
            ? family > value
            : family === value,
      ),
    );
  expect([2, 10, 38, 40].map(passes)).toEqual([true, true, false, false]);
});

test("a profile that makes no sense is refused with a reason", () => {
  expect(() => parseSeccompProfile("{")).toThrow("Decoding seccomp profile failed");
  expect(() => parseSeccompProfile("[]")).toThrow("not an object");
  expect(() => parseSeccompProfile('{"defaultAction":"NO"}')).toThrow("unknown default action NO");
  expect(parseSeccompProfile('{"defaultAction":"SCMP_ACT_ALLOW"}').defaultAction).toBe(
    "SCMP_ACT_ALLOW",
  );
});

test("flags of a filter are the kernel's; what needs an agent is refused with its reason", () => {
  const parse = (more: object) =>
    parseSeccompProfile(JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", ...more }));
  const flags = [
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
  ];
  expect(seccompFlags(resolveSeccomp(parse({ flags }), new Set(), host))).toBe(6);
  expect(seccompFlags(resolveSeccomp(parse({ flags: null }), new Set(), host))).toBe(0);
  expect(seccompFlags(undefined)).toBe(0);
  for (const notify of [
    { syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }] },
    { defaultAction: "SCMP_ACT_NOTIFY" },
    { listenerPath: "/run/agent.sock" },
  ])
    expect(() => parse(notify)).toThrow(
      /SCMP_ACT_NOTIFY and listenerPath hand system calls to an agent/,
    );
  for (const odd of [["SECCOMP_FILTER_FLAG_NEW_LISTENER"], ["toString"], [5]])
    expect(() => parse({ flags: odd })).toThrow(/flag .* is not known/);
  expect(() => parse({ flags: "x" })).toThrow("flags is no list");
});
