/** The short filter says what libseccomp's says, for every number and for arguments around everything that is compared. */
import { expect, test } from "bun:test";
import { helperOfFile } from "../../tests/kits/helper.ts";
import { compactFilter } from "./compact-filter.ts";
import {
  defaultSeccompProfile,
  parseSeccompProfile,
  resolveSeccomp,
  seccompRules,
} from "./seccomp.ts";

const helper = helperOfFile();

/** Names of system calls. */
const names = [
  ...new Set((defaultSeccompProfile.syscalls ?? []).flatMap((one) => one.names ?? [])),
];
/** Those that are allowed whatever their arguments are, in a profile below. */
const compared = ["ioctl", "socket", "kill", "lseek", "fcntl", "prctl", "clone"];
const plain = names.filter((name) => !["open", ...compared].includes(name));
const host = { architecture: "SCMP_ARCH_X86_64", arch: "amd64", kernel: "6.1.0-test" };

async function compile(profile: unknown, capabilities: readonly string[] = []) {
  const parsed =
    profile === defaultSeccompProfile
      ? defaultSeccompProfile
      : parseSeccompProfile(JSON.stringify(profile));
  const filter = seccompRules(resolveSeccomp(parsed, new Set(capabilities), host));
  return helper.kernel.compileSeccomp(filter.defaultAction, filter.architectures, filter.rules);
}

interface Call {
  readonly arch: number;
  readonly nr: number;
  readonly args: readonly bigint[];
}

/** What the kernel's interpreter says (linux/filter.h), for the instructions that filters of libseccomp have. */
function verdict(filter: Uint8Array, { arch, nr, args }: Call): number {
  const view = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  for (const [index, value] of args.entries()) data.setBigUint64(16 + index * 8, value, true);
  let accumulator = 0;
  for (let pc = 0; ; pc++) {
    const [code, k] = [view.getUint16(pc * 8, true), view.getUint32(pc * 8 + 4, true)];
    const [jt, jf] = [view.getUint8(pc * 8 + 2), view.getUint8(pc * 8 + 3)];
    if (code === 0x06) return k;
    if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) pc += k;
    else if (code === 0x15) pc += accumulator === k ? jt : jf;
    else if (code === 0x25) pc += accumulator > k ? jt : jf;
    else if (code === 0x35) pc += accumulator >= k ? jt : jf;
    else if (code === 0x45) pc += (accumulator & k) !== 0 ? jt : jf;
    else throw new Error(`instruction ${code.toString(16)}`);
  }
}

const architectures = [0xc000003e, 0x40000003, 0xc00000b7, 0, 0xffffffff];
const numbers = [0, 0x40000000, 0xfffffe00].flatMap((base) =>
  Array.from({ length: 512 }, (_, index) => base + index),
);

/** Values of arguments around everything that a filter compares. */
function interesting(filter: Uint8Array): bigint[] {
  const view = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  const constants = Array.from({ length: filter.length / 8 }, (_, at) => ({
    code: view.getUint16(at * 8, true),
    k: BigInt(view.getUint32(at * 8 + 4, true)),
  })).filter(({ code, k }) => code !== 0x20 && code !== 0x05 && (k < 64n || k > 1000n));
  const values = constants.flatMap(({ k }) => [k, k + 1n, k - 1n, k << 32n, (k << 32n) | k]);
  return [...new Set([0n, 1n, ...values])].filter((value) => value >= 0n && value < 1n << 64n);
}

function expectSame(filter: Uint8Array): number {
  const short = compactFilter(filter);
  const values = interesting(filter);
  for (const arch of architectures)
    for (const nr of numbers) {
      // Few numbers have arguments that count; those are tried with everything.
      const looksAtArguments = new Set(
        [0n, (1n << 64n) - 1n, 0xffffffffn, 2n].map((value) =>
          verdict(filter, { arch, nr, args: Array.from({ length: 6 }, () => value) }),
        ),
      );
      const tried = looksAtArguments.size > 1 ? values : values.slice(0, 8);
      for (const [index, value] of tried.entries()) {
        const other = tried[(index * 7 + 3) % tried.length] ?? 0n;
        const call = { arch, nr, args: [value, other, value, other, value, other] };
        const [is, was] = [verdict(short, call), verdict(filter, call)];
        if (is !== was) expect({ ...call, is }).toEqual({ ...call, is: was });
      }
    }
  return short.length / filter.length;
}

test("the default profile, with and without capabilities, is a third as long", async () => {
  for (const capabilities of [[], ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"]]) {
    const filter = await compile(defaultSeccompProfile, capabilities);
    expect(expectSame(filter)).toBeLessThan(1 / 3);
  }
});

test("profiles of other shapes", async () => {
  const call = (names: string[], action: string, args: object[] = []) => ({ names, action, args });
  const operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
  const profiles = [
    { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] },
    { defaultAction: "SCMP_ACT_ALLOW", syscalls: [call(["mkdir", "keyctl"], "SCMP_ACT_KILL")] },
    {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [
        call(plain, "SCMP_ACT_ALLOW"),
        call(["open"], "SCMP_ACT_LOG"),
        ...operators.map((op, index) =>
          call(
            [["ioctl", "socket", "kill", "lseek", "fcntl", "prctl", "clone"][index] ?? ""],
            "SCMP_ACT_ALLOW",
            [
              {
                index: index % 3,
                value: 0x1234567890 + index,
                valueTwo: 0x10,
                op: `SCMP_CMP_${op}`,
              },
              { index: 3, value: 7, op: "SCMP_CMP_EQ" },
            ],
          ),
        ),
      ],
    },
    {
      defaultAction: "SCMP_ACT_ALLOW",
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
      // Every one with an argument: as long as it gets, so that jumps are too far for one instruction.
      syscalls: [
        call(names.slice(100), "SCMP_ACT_KILL"),
        ...Array.from({ length: 100 }, (_, index) =>
          call([names[index] ?? ""], "SCMP_ACT_ERRNO", [
            { index: 0, value: index, op: "SCMP_CMP_EQ" },
            { index: 1, value: 1000 + index, op: "SCMP_CMP_GT" },
          ]),
        ),
      ],
    },
  ];
  const shorter = await Promise.all(
    profiles.map(async (profile) => expectSame(await compile(profile)) < 1),
  );
  expect(shorter).toEqual([false, false, true, true]);
});

test("what is no such filter stays as it is", () => {
  const odd = new Uint8Array([0x80, 0, 0, 0, 0, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0xff, 0x7f]);
  expect(compactFilter(odd)).toBe(odd);
  const cut = new Uint8Array([0x20, 0, 0, 0, 4, 0, 0, 0]);
  expect(compactFilter(cut)).toBe(cut);
  expect(compactFilter(new Uint8Array())).toEqual(new Uint8Array());
});
