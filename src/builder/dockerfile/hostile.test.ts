/** Dockerfiles that are meant badly: they come to something or to a mistake, soon, and the same at each run (BERTH_FUZZ for more). */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText, valueOrFault } from "../../../tests/kits/fuzz.ts";
import { planBuild } from "../build-plan.ts";
import { evaluateStage, scratchConfig } from "./evaluate.ts";
import { unusedArguments } from "./scope.ts";

const platform = { os: "linux", architecture: "amd64" };

/** Everything that is done with a text before anything is built. */
function evaluated(text: string) {
  const plan = planBuild({
    ...{ dockerfile: text, target: "", named: new Map(), args: new Map([["GIVEN", "x"]]) },
    ...{ platform: undefined, hostPlatform: platform },
  });
  const { dockerfile, arguments: build, globals, needed, numbers } = plan;
  unusedArguments(dockerfile, build);
  const { escapeMark } = dockerfile.source;
  const stages = needed.map(({ instructions }) =>
    evaluateStage({ instructions, escapeMark, base: scratchConfig, build, globals }),
  );
  return { stages, numbers };
}

const corpus = [
  "FROM a AS b\nARG X=1\nENV A=${X:-\"y\"} B='c'\nRUN --mount=type=cache,target=/c,id=$X echo $A\nCOPY --from=b --chown=1:2 a* /d/\n",
  '# syntax=x\n# escape=`\nFROM --platform=$BUILDPLATFORM scratch\nRUN <<A <<-\'B\'\nx\nA\n\ty\nB\nCMD ["a", "b"]\n',
  'ARG V=3.1\nFROM scratch\nLABEL a.b="c d" e=f\nEXPOSE 80/tcp 90-95\nVOLUME ["/v"]\nUSER a:b\nWORKDIR x\nHEALTHCHECK --interval=1m30s CMD x\n',
  'FROM scratch\nONBUILD RUN a\nSHELL ["a"]\nSTOPSIGNAL TERM\nENTRYPOINT x \\\n# c\n y\nADD --checksum=sha256:00 https://x/y /z\nENV P=${V#*.} Q=${V%%.*} R=${V//./-}\n',
];

test("damaged Dockerfiles are evaluated, or refused with a name", async () => {
  await checkAll(damagedText(corpus), (text) => valueOrFault(() => evaluated(text)));
});

test("Dockerfiles of bits of the language, too", async () => {
  const bits = corpus.flatMap((text) => text.split(/(?<=[\s=$,"'{}[\]<])/));
  const texts = fc.array(fc.constantFrom(...bits, "\n", "\\\n", "$", "${A", "}"), {
    maxLength: 40,
  });
  await checkAll(texts, (list) => valueOrFault(() => evaluated(`FROM scratch\n${list.join("")}`)));
});

const N = 200_000;
const a = "a".repeat(N);
const lines = (count: number, line: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => `${line(index)}\n`).join("");

/** Each would take minutes, gigabytes or the whole stack where something grows with a square or is called by itself. */
const large: Readonly<Record<string, string>> = {
  "values that grow": `FROM scratch\nARG A=xxxxxxxxxx\n${"ARG A=$A$A\n".repeat(40)}`,
  "a large value again and again": `FROM scratch\nARG A=${a}\n${lines(9000, (at) => `ENV B${at}=$A`)}`,
  "RUNs with a large environment": `FROM scratch\nENV A=${a}\n${"RUN true\n".repeat(9000)}`,
  "patterns that match slowly": `FROM scratch\nARG A=${a}\n${"ENV B=${A//*a*a*a*a*a*b/x}\n".repeat(500)}`,
  "prefixes that match slowly": `FROM scratch\nARG A=${a}\n${"ENV B=${A##*a*a*a*b}\n".repeat(500)}`,
  "substitutions in each other": `FROM scratch\nENV A=${"${A:-".repeat(N / 5)}${"}".repeat(N / 5)}\n`,
  "substitutions that do not end": `FROM scratch\nENV A=${"${A:-".repeat(N / 5)}\n`,
  "variables, labels, ports and volumes": `FROM scratch\n${lines(2400, (at) => `ENV A${at}=b\nLABEL A${at}=b\nEXPOSE ${at + 1}\nVOLUME /${at}`)}`,
  "stages on each other": `FROM scratch AS s0\n${lines(9000, (at) => `FROM s${at} AS s${at + 1}`)}`,
  "stages that all are copied from": `${lines(4000, () => "FROM scratch")}FROM scratch\n${lines(4000, (at) => `COPY --from=${at} / /`)}`,
  "more instructions than are read": `FROM scratch\n${"ENV A=b\n".repeat(N / 8)}`,
  "triggers in triggers": `FROM scratch\nONBUILD ${"ONBUILD ".repeat(N / 8)}RUN <<a\n`,
  "lines that go on": `FROM scratch\nRUN a${" \\\n".repeat(N / 3)}\n`,
  "comments in between": `FROM scratch\nRUN a \\\n${"# c\n".repeat(N / 4)}b\n`,
  "here-documents that do not end": `FROM scratch\n${"RUN <<E\n".repeat(N / 8)}`,
  "here-documents of one line": `FROM scratch\nRUN ${lines(1, () => Array.from({ length: 3000 }, (_, at) => `<<E${at}`).join(" "))}`,
  quotes: `FROM scratch\nENV A=${`'"`.repeat(N / 2)}\n`,
  dollars: `FROM scratch\nENV A=${"$".repeat(N)}\n`,
  escapes: `FROM scratch\nENV A=${"\\".repeat(N)}\n`,
  spaces: `FROM${" ".repeat(N)}scratch${" ".repeat(N)}\nENV A=b${" ".repeat(N)}c=d\nRUN a${" \\ ".repeat(N / 3)}\n`,
  "a list": `FROM scratch\nCMD ${"[".repeat(N)}\n`,
  flags: `FROM scratch\nCOPY ${"--exclude=a ".repeat(N / 12)} a b\n`,
  "options of a mount": `FROM scratch\nRUN --mount=${"a,".repeat(N / 2)} a\n`,
  "a duration": `FROM scratch\nHEALTHCHECK --interval=${"1h".repeat(N / 2)} CMD a\n`,
  "a name": `FROM ${"a/".repeat(N / 2)}\n`,
  directives: `${"# a=b\n".repeat(N / 6)}# escape=${a}\nFROM scratch\n`,
};

test.each(Object.keys(large))(
  "large: %s",
  async (name) => {
    const before = process.memoryUsage.rss();
    const found = await valueOrFault(() => evaluated(large[name] ?? ""));
    // The words of a mistake are no copy of the text.
    expect(found === undefined || found.numbers.total > 0).toBe(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(1 << 30);
  },
  60_000,
);
