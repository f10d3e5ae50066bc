import { expect, test } from "bun:test";
import { planBuild } from "../build-plan.ts";
import type { BuildImages } from "../ports.ts";
import type { BuildRequest } from "../request.ts";
import { BuildLint } from "./build-lint.ts";
import { checkPlan } from "./check.ts";
import { parseLintOptions } from "./rules.ts";

interface Given {
  readonly args?: Readonly<Record<string, string>>;
  readonly ignore?: readonly string[];
  /** The environment of images that are here; undefined: none is. */
  readonly env?: readonly string[];
  readonly target?: string;
}

/** What a check finds: "line: Rule: message". */
async function found(dockerfile: string, given: Given = {}): Promise<string[]> {
  const all: string[] = [];
  const host = { os: "linux", architecture: "amd64" };
  const images = {
    configOf: async () => (given.env === undefined ? undefined : { Env: [...given.env] }),
  } as unknown as BuildImages;
  const request = {
    ...{ dockerfile, args: new Map(Object.entries(given.args ?? {})), hostPlatform: host },
    ...{ target: given.target ?? "", named: { has: () => false, find: async () => undefined } },
    context: { directories: [], attributes: false, ignore: given.ignore ?? [] },
    report: (event: {
      kind: string;
      rule?: string;
      message?: string;
      excerpt?: { marked: number[] };
    }) => {
      if (event.kind === "lint")
        all.push(`${event.excerpt?.marked[0]}: ${event.rule}: ${event.message}`);
    },
  } as unknown as BuildRequest;
  const plan = planBuild(request);
  await checkPlan(plan, new BuildLint(request, plan.dockerfile), { images, request }).catch(
    (error) => all.push(error.message),
  );
  return all;
}

const rows: readonly (readonly [
  what: string,
  dockerfile: string,
  found: readonly string[],
  given?: Given,
])[] = [
  [
    "nothing",
    'FROM a AS b\nENV C=1\nENV D=$C\nARG E\nLABEL x=$E\nWORKDIR /x\nWORKDIR y\nCMD ["z"]',
    [],
    { env: [] },
  ],
  [
    "names of stages",
    "FROM a AS Big\nFROM a as small\nFROM a AS scratch\nFROM a AS context\nFROM a AS big\n",
    [
      "1: StageNameCasing: Stage name 'Big' should be lowercase",
      "2: FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
      '3: ReservedStageName: Stage name should not use the same name as reserved stage "scratch"',
      '4: ReservedStageName: Stage name should not use the same name as reserved stage "context"',
      '5: DuplicateStageName: Duplicate stage name "big", stage names should be unique',
    ],
  ],
  ["lower case throughout", "from a as b\nrun x\n", []],
  [
    "the case of instructions",
    "FROM a\nrun x\nRun y\nRUN z\n",
    [
      "2: ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase)",
      "3: ConsistentInstructionCasing: Command 'Run' should match the case of the command majority (uppercase)",
    ],
  ],
  [
    "an empty line in between",
    "FROM a\nRUN x \\\n\n  y\n",
    ["2: NoEmptyContinuation: Empty continuation line"],
  ],
  [
    "forms",
    "FROM a\nMAINTAINER me\nENV a b\nLABEL c d\nCMD x\nENTRYPOINT y\n",
    [
      "2: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
      '3: LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
      '4: LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
      "5: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "6: JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
    ],
  ],
  ["a shell of one's own", 'FROM a\nSHELL ["x"]\nCMD y\n', []],
  [
    "arguments of FROM",
    "ARG VERSION=1\nARG NONE\nFROM a:${VERSIONS}\nFROM a:$VERSION\nFROM $NONE\nFROM b:$NONE\n",
    [
      "3: UndefinedArgInFrom: FROM argument 'VERSIONS' is not declared (did you mean VERSION?)",
      "3: InvalidDefaultArgInFrom: Default value for ARG a:${VERSIONS} results in empty or invalid base image name",
      "5: InvalidDefaultArgInFrom: Default value for ARG $NONE results in empty or invalid base image name",
      "6: InvalidDefaultArgInFrom: Default value for ARG b:$NONE results in empty or invalid base image name",
    ],
    { args: { NONE: "x" } },
  ],
  [
    "platforms",
    "FROM --platform=$TARGETPLATFORM a\nFROM --platform=linux/arm64 a\nFROM --platform=linux/arm64 a AS for-arm64\nFROM --platform=$BUILDPLATFORM a\n",
    [
      "1: RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
      '2: FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/arm64"',
    ],
  ],
  [
    "variables",
    "FROM a\nARG DECLARED\nENV HERE=$PATH$DECLARED\nLABEL a=$HER b=${MAYBE:-x} c=${OR+y} d='$QUOTED'\nRUN echo $SHELLS\nCOPY $SRC /\nCOPY <<E /f\n$INLINE\nE\n",
    [
      "4: UndefinedVar: Usage of undefined variable '$HER' (did you mean $HERE?)",
      "6: UndefinedVar: Usage of undefined variable '$SRC'",
      "7: UndefinedVar: Usage of undefined variable '$INLINE'",
    ],
    { env: ["PATH=/bin"] },
  ],
  ["variables of a base that nobody knows", "FROM a\nLABEL a=$X\n", []],
  ["those of a stage", "FROM a AS b\nENV X=1\nFROM b\nLABEL a=$X\n", [], { env: [] }],
  [
    "directories",
    "FROM a AS one\nWORKDIR rel\nWORKDIR more\nFROM a AS two\nWORKDIR /abs\nFROM two\nWORKDIR rel\nCOPY --from=one a b\n",
    [
      '2: WorkdirRelativePath: Relative workdir "rel" can have unexpected results if the base image changes',
    ],
  ],
  [
    "more than one",
    'FROM a\nCMD ["1"]\nENTRYPOINT ["1"]\nHEALTHCHECK NONE\nCMD ["2"]\nENTRYPOINT ["2"]\nHEALTHCHECK NONE\n',
    ["CMD", "ENTRYPOINT", "HEALTHCHECK"].map(
      (name, index) =>
        `${index + 2}: MultipleInstructionsDisallowed: Multiple ${name} instructions should not be used in the same stage because only the last one will be used`,
    ),
  ],
  [
    "secrets",
    "FROM a\nARG GITHUB_TOKEN\nENV apikey=1 PUBLIC_KEY=2 MONKEY=3 Db_Password=4\n",
    [
      '2: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "GITHUB_TOKEN")',
      '3: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "apikey")',
      '3: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "Db_Password")',
    ],
  ],
  [
    "what is left out",
    "FROM a\nCOPY tmp/x kept /\nADD ./tmp /t\nCOPY --from=b tmp /\n",
    [
      '2: CopyIgnoredFile: Attempting to Copy file "tmp/x" that is excluded by .dockerignore',
      '3: CopyIgnoredFile: Attempting to Add file "tmp" that is excluded by .dockerignore',
    ],
    { ignore: ["tmp"] },
  ],
  ["exceptions", "FROM a\nCOPY tmp /\n", [], { ignore: ["tmp", "!tmp/x"] }],
  [
    "ports",
    "FROM a\nEXPOSE 80/TCP 53/udp 127.0.0.1:80:80 5000:5000/Udp\n",
    [
      "2: ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
      "2: ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
      "2: ExposeProtoCasing: Defined protocol '5000:5000/Udp' in EXPOSE instruction should be lowercase",
      "2: ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000/Udp'",
    ],
  ],
  ["what nobody has asked for", "# b is fine\nFROM a AS b\n# wrong\nARG x\n", []],
  [
    "descriptions",
    "# check=experimental=all\n\n# other\nARG v\n# b is fine\nFROM a AS b\n# wrong\nARG x=1 y=2\n",
    [
      "4: InvalidDefinitionDescription: Comment for ARG should follow the format: `# v <description>`",
      "8: InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
    ],
  ],
  [
    "what is skipped",
    "# check=skip=JSONArgsRecommended,WorkdirRelativePath\nFROM a\nCMD x\nWORKDIR y\n",
    [],
  ],
  ["all of it", "# check=skip=all\nfrom a\nCMD x\nRUN x\n", []],
  [
    "an error",
    "# check=error=true\nFROM a\nWORKDIR y\nCMD x\n",
    [
      '3: WorkdirRelativePath: Relative workdir "y" can have unexpected results if the base image changes',
      "4: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "lint violation found for rules: JSONArgsRecommended, WorkdirRelativePath",
    ],
  ],
  [
    "what an argument says instead",
    "# check=error=true\nFROM a\nWORKDIR y\n",
    [],
    { args: { BUILDKIT_DOCKERFILE_CHECK: "skip=WorkdirRelativePath;error=true" } },
  ],
  [
    "stages that the target does not need",
    "FROM a AS one\nCMD x\nFROM a AS two\nCMD y\n",
    [
      "2: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    ],
    { target: "one" },
  ],
];

for (const [what, dockerfile, expected, given] of rows)
  test(`a check finds: ${what}`, async () => {
    expect(await found(dockerfile, given)).toEqual([...expected]);
  });

test("a directive that cannot be read is told of", () => {
  for (const text of ["skip", "error=maybe", "other=1"])
    expect(() => parseLintOptions(text)).toThrow("failed to parse check option");
  expect(parseLintOptions(" skip = A , B ; error = 1 ")).toEqual({
    ...{ skip: new Set(["A", "B"]), experimental: new Set(), error: true },
  });
});
