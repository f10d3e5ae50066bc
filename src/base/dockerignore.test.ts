import { expect, test } from "bun:test";
import fc from "fast-check";
import { IgnoreRules, ignorePatterns } from "./dockerignore.ts";
import { Fault } from "./errors.ts";

const ignores = (patterns: string, path: string) =>
  new IgnoreRules(ignorePatterns(patterns)).ignores(path);

/** Pattern lines, a path, whether it is left out: as moby's own matcher has it. */
const vectors: readonly (readonly [string, string, boolean])[] = [
  ["**", "file", true],
  ["**", "dir/file", true],
  ["**/", "file", true],
  ["**/", "dir/file", true],
  ["**/**", "dir/file", true],
  ["dir/**", "dir/file", true],
  ["dir/**", "dir/dir2/file", true],
  ["dir/**", "dir", false],
  ["**/dir", "dir", true],
  ["**/dir", "dir/file", true],
  ["**/dir2/*", "dir/dir2/file", true],
  ["**/dir2/*", "dir/dir2/dir2/file", true],
  ["**/dir2/**", "dir/dir2/dir2/file", true],
  ["**file", "file", true],
  ["**file", "dir/file", true],
  ["**file", "dir/xfile", false],
  ["**/file", "dir/file", true],
  ["**/file", "xfile", false],
  ["**/file*", "dir/file.txt", true],
  ["**/file*txt", "dir/file.txt", true],
  ["**/file*.txt*", "dir/file.txt", true],
  ["**/**/*.txt", "dir/dir/file.txt", true],
  ["**/**/*.txt2", "dir/dir/file.txt", false],
  ["**/*.txt", "file.txt", true],
  ["a**/*.txt", "a/file.txt", true],
  ["a**/*.txt", "a/dir/dir/file.txt", true],
  ["a/*.txt", "a/dir/file.txt", false],
  ["a/*.txt", "a/file.txt", true],
  ["a/*.txt**", "a/file.txt", true],
  ["a[b-d]e", "ae", false],
  ["a[b-d]e", "ace", true],
  ["a[b-d]e", "aae", false],
  ["a[^b-d]e", "aze", true],
  [".*", ".foo", true],
  [".*", "foo", false],
  ["abc.def", "abcdef", false],
  ["abc.def", "abc.def", true],
  ["abc?def", "abcZdef", true],
  ["abc?def", "abcdef", false],
  ["a\\*b", "a*b", true],
  ["a\\*b", "axb", false],
  ["**/foo/bar", "foo/bar", true],
  ["**/foo/bar", "dir/dir2/foo/bar", true],
  ["abc/**", "abc", false],
  ["abc/**", "abc/def/ghi", true],
  ["**/.foo", ".foo", true],
  ["**/.foo", "bar.foo", false],
  ["a(b)c/def", "a(b)c/def", true],
  ["a(b)c/def", "a(b)c/xyz", false],
  ["a.|)$(}+{", "a.|)$(}+{", true],
  ["/abs", "abs", true],
  ["./rel/", "rel/x", true],
  ["a/../b", "b", true],
  ["dir", "dir/x/y", true],
  ["*.md\n!README.md", "README.md", false],
  ["*.md\n!README.md", "x.md", true],
  ["!README.md\n*.md", "README.md", true],
  ["docs\n!docs/keep", "docs/keep/x", false],
  ["docs\n!docs/keep", "docs/other", true],
  ["*\n!src/**", "src/a/b", false],
  ["*\n!src/**", "other", true],
  ["# comment\n\n  spaced  ", "spaced", true],
  ["#x", "#x", false],
  [" #x", "#x", true],
  [".", "a", false],
  ["é?", "éa", true],
];

test("patterns hold as they do for Docker", () => {
  for (const [patterns, path, wanted] of vectors)
    expect([patterns, path, ignores(patterns, path)]).toEqual([patterns, path, wanted]);
});

test("what makes no sense is refused", () => {
  for (const text of ["a[b", "a[", "!", "x\\", "[]a"])
    expect(() => new IgnoreRules(ignorePatterns(text))).toThrow(Fault);
});

test("a directory need not be walked when no exception may hold below it", () => {
  const rules = (text: string) => new IgnoreRules(ignorePatterns(text));
  expect(rules("node_modules").prunes("node_modules")).toBe(true);
  expect(rules("node_modules\n!src/x").prunes("node_modules")).toBe(true);
  expect(rules("*\n!src/x").prunes("src")).toBe(false);
  expect(rules("*\n!src/x").prunes("srcs")).toBe(true);
  expect(rules("*\n!**/keep").prunes("any")).toBe(false);
  expect(rules("a").prunes("b")).toBe(false);
});

test("pruning never loses a file", () => {
  const part = fc.constantFrom("a", "b", "*", "**", "?", "c");
  const line = fc
    .tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 3 }))
    .map(([exception, parts]) => (exception ? "!" : "") + parts.join("/"));
  const path = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), path, (lines, parts) => {
      const rules = new IgnoreRules(lines);
      const directories = parts.slice(0, -1).map((_, at) => parts.slice(0, at + 1).join("/"));
      if (directories.some((one) => rules.prunes(one)))
        expect(rules.ignores(parts.join("/"))).toBe(true);
    }),
    { numRuns: 3000 },
  );
});

test("many stars take no longer than few", () => {
  const rules = new IgnoreRules([`${"*a".repeat(200)}x`, `${"**/a".repeat(100)}x`]);
  expect(rules.ignores(`${"a".repeat(200)}/${"a/".repeat(20)}${"a".repeat(1000)}`)).toBe(false);
});

test("the line that leaves a path out is the last that holds", () => {
  const rules = new IgnoreRules(ignorePatterns("# comment\n*.md\n !keep.md\ndir/\n**/x\n"));
  expect(rules.reason("a.md")).toBe("*.md");
  expect(rules.reason("keep.md")).toBeUndefined();
  expect(rules.reason("dir/below/file")).toBe("dir/");
  expect(rules.reason("dir/x")).toBe("**/x");
  expect(rules.reason("other")).toBeUndefined();
});
