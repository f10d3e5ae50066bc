import { expect, test } from "bun:test";
import { parseFlags } from "../flags.ts";
import { groups, routes } from "../routes.ts";
import { manualEntries } from "./entries.ts";
import { examplePaths } from "./examples.ts";
import { manualPages, roffText } from "./roff.ts";

const entries = await manualEntries();

/** The words of a line, with quotes as a shell reads them. */
function words(line: string): string[] {
  return (line.match(/(?:'[^']*'|[^\s'])+/g) ?? []).map((word) => word.replaceAll("'", ""));
}

test("each command has examples, and no examples are of a command that is none", () => {
  const without = entries.filter(({ examples }) => examples.length === 0).map(({ path }) => path);
  expect(without).toEqual([]);
  const paths = new Set(entries.map(({ path }) => path));
  expect(examplePaths.filter((path) => !paths.has(path))).toEqual([]);
});

test("each example is of its command, and has flags and arguments that it takes", () => {
  for (const { path, spellings, command, examples } of entries)
    for (const [purpose, example] of examples) {
      const [program, ...rest] = words(example);
      expect(program).toBe("berth");
      const spelled = rest.slice(0, rest[0] !== undefined && rest[0] in groups ? 2 : 1).join(" ");
      expect(spellings).toContain(spelled);
      const given = rest.slice(spelled.split(" ").length);
      const line = command.verbatim ? ["--", ...given] : given;
      const { args } = parseFlags(line, command.flags, command.interspersed ?? true);
      const [least, most] = command.args;
      expect([path, args.length >= least && args.length <= most]).toEqual([path, true]);
      expect(purpose).toMatch(/^[A-Z].*[^.:]$/);
    }
});

test("each command that is for people has a page, which names its spellings and flags", async () => {
  const pages = await manualPages("1.2.3");
  const shown = new Set(
    routes.filter(({ short }) => short !== "").map(({ spellings }) => spellings[0]),
  );
  expect(pages.size).toBe(shown.size + 1);
  const run = pages.get("berth-run") ?? "";
  expect(run).toContain('.TH "BERTH-RUN" "1" "" "berth 1.2.3" "berth"');
  expect(run).toContain(".B berth container run\n");
  expect(run).toContain(".B \\-p, \\-\\-publish list\n");
  expect(pages.get("berth")).toContain(".BR berth\\-volume\\-create (1)");
});

test("what roff would obey is text", () => {
  expect(roffText("a\\n -x\n.so /etc/passwd\n'br")).toBe("a\\en \\-x\n\\&.so /etc/passwd\n\\(aqbr");
});

test.skipIf(Bun.which("groff") === null)("groff has nothing to complain about", async () => {
  const pages = await manualPages("1.2.3");
  const all = [...pages.values()].join("\n");
  const child = Bun.spawnSync(["groff", "-man", "-ww", "-Tutf8", "-z"], {
    stdin: Buffer.from(all),
  });
  expect(child.stderr.toString()).toBe("");
});
