/** COPY, ADD and .dockerignore. */

import type { Case, Files } from "./case.ts";
import { archiveOf } from "./image.ts";

const on = (...lines: string[]) => `FROM busybox\n${lines.join("\n")}\n`;
const furnished = (...lines: string[]) => `FROM furnished\n${lines.join("\n")}\n`;
const scratch = (...lines: string[]) => `FROM scratch\n${lines.join("\n")}\n`;
const file = (text: string, owner = "0:0", mode = "644") => `${mode} ${owner} ${text}`;
const dir = (owner = "0:0", mode = "755") => `${mode} ${owner} /`;
const files: Files = {
  a: "a",
  "b.txt": "b",
  "c.txt": { content: "c", mode: 0o755, uid: 77 },
  d: { type: "directory", mode: 0o750 },
  "d/e": "e",
  "d/f": { type: "directory" },
  "d/f/g.txt": { content: "g", mode: 0o600 },
  "s p": "space",
};
const tree = {
  d: dir("0:0", "750"),
  "d/e": file("e"),
  "d/f": dir(),
  "d/f/g.txt": file("g", "0:0", "600"),
};
const under = (prefix: string, lines: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(lines).map(([path, line]) => [`${prefix}${path}`, line]));
const inside = { e: file("e"), f: dir(), "f/g.txt": file("g", "0:0", "600") };
const packed = archiveOf({
  p: { type: "directory", mode: 0o700, uid: 3 },
  "p/q": { content: "q", uid: 4 },
  l: { type: "symlink", link: "p/q" },
});
const unpacked = { p: dir("3:3", "700"), "p/q": file("q", "4:4"), l: "-> p/q" };
const ignore = (
  rules: string,
  expected: readonly string[],
  more: Partial<Case> = {},
): Omit<Case, "name"> => ({
  dockerfile: scratch("COPY . /"),
  files: {
    ".dockerignore": rules,
    a: "",
    "b.txt": "",
    "d/x.txt": "",
    "d/y": "",
    "d/e/z.txt": "",
    "d/e/w": "",
  },
  tree: Object.fromEntries(
    [...expected, ".dockerignore", "Dockerfile"].map((path) => [
      path,
      path.endsWith("/") ? dir() : "",
    ]),
  ),
  ...more,
});

/** Rows that are about which files there are, without what is in them. */
export const ignored: readonly Case[] = [
  { name: "no rules", ...ignore("", ["a", "b.txt", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]) },
  { name: "a file", ...ignore("a", ["b.txt", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]) },
  { name: "a directory", ...ignore("d", ["a", "b.txt"]) },
  { name: "a directory with slashes", ...ignore("/d/", ["a", "b.txt"]) },
  {
    name: "* stays in one directory",
    ...ignore("*.txt", ["a", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]),
  },
  {
    name: "*/ is one directory deep",
    ...ignore("*/*.txt", ["a", "b.txt", "d/y", "d/e/z.txt", "d/e/w"]),
  },
  { name: "** is any depth", ...ignore("**/*.txt", ["a", "d/y", "d/e/w"]) },
  { name: "** in the middle", ...ignore("d/**/z.txt", ["a", "b.txt", "d/x.txt", "d/y", "d/e/w"]) },
  { name: "?", ...ignore("?", ["b.txt"]) },
  { name: "[a-b]", ...ignore("[a-b]*", ["d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]) },
  { name: "!", ...ignore("*\n!a", ["a"], { tree: { a: "" } }) },
  { name: "! below what is left out", ...ignore("d\n!d/e/w", ["a", "b.txt", "d/e/w"]) },
  {
    name: "! that is undone again",
    ...ignore("*.txt\n!b.txt\nb.*", ["a", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]),
  },
  {
    name: "comments, spaces and empty lines",
    ...ignore("# a\n\n   a  \n", ["b.txt", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]),
  },
  {
    name: "a path that has to be cleaned",
    ...ignore("./d/../a", ["b.txt", "d/x.txt", "d/y", "d/e/z.txt", "d/e/w"]),
  },
  {
    name: "the Dockerfile and the rules themselves",
    ...ignore("Dockerfile\n.dockerignore\nd", [], { tree: { a: "", "b.txt": "" } }),
  },
  {
    name: "a file of the Dockerfile's own",
    dockerfile: scratch("COPY . /"),
    files: {
      "Dockerfile.dockerignore": "a\n*.dockerignore\n.dockerignore\nDockerfile",
      ".dockerignore": "b",
      a: "",
      b: "",
    },
    tree: { b: "" },
    notClassic: "20.10 has no Dockerfile.dockerignore",
  },
];

const copy: readonly Case[] = [
  { name: "a file by its name", dockerfile: on("COPY a /new"), files, tree: { new: file("a") } },
  {
    name: "a file into a directory",
    dockerfile: on("COPY a /dir/"),
    files,
    tree: { dir: dir(), "dir/a": file("a") },
  },
  {
    name: "a file into a directory that is there",
    dockerfile: on("COPY a /tmp"),
    files,
    tree: { "tmp/a": file("a") },
  },
  {
    name: "a file below directories that are not there",
    dockerfile: on("COPY a /x/y/z"),
    files,
    tree: { x: dir(), "x/y": dir(), "x/y/z": file("a") },
  },
  {
    name: "a file to a relative place",
    dockerfile: on("WORKDIR /w", "COPY a ./"),
    files,
    tree: { w: dir(), "w/a": file("a") },
  },
  {
    name: "files keep their modes and are root's",
    dockerfile: on("COPY c.txt /c"),
    files,
    tree: { c: file("c", "0:0", "755") },
  },
  {
    name: "several files",
    dockerfile: on("COPY a b.txt /m/"),
    files,
    tree: { m: dir(), "m/a": file("a"), "m/b.txt": file("b") },
  },
  {
    name: "several files to what is no directory",
    dockerfile: on("COPY a b.txt /m"),
    files,
    error: /must be a directory and end with a \//,
  },
  {
    name: "a wildcard",
    dockerfile: on("COPY *.txt /m/"),
    files,
    tree: { m: dir(), "m/b.txt": file("b"), "m/c.txt": file("c", "0:0", "755") },
  },
  { name: "a wildcard of one file", dockerfile: on("COPY b* /m"), files, tree: { m: file("b") } },
  {
    name: "? and []",
    dockerfile: on("COPY ?.txt [a] /m/"),
    files,
    tree: { m: dir(), "m/a": file("a"), "m/b.txt": file("b"), "m/c.txt": file("c", "0:0", "755") },
  },
  {
    name: "a wildcard for directories",
    dockerfile: on("COPY d/* /m/"),
    files,
    tree: { m: dir(), "m/e": file("e"), "m/g.txt": file("g", "0:0", "600") },
  },
  {
    name: "a wildcard in the middle",
    dockerfile: on("COPY d/*/g.txt /m/"),
    files,
    tree: { m: dir(), "m/g.txt": file("g", "0:0", "600") },
  },
  {
    name: "a wildcard for nothing",
    dockerfile: on("COPY no* /m/"),
    files,
    tree: {},
    notClassic: "20.10 fails; BuildKit copies nothing",
  },
  { name: "what is not there", dockerfile: on("COPY nope /m"), files, error: /nope/ },
  {
    name: "a directory's contents",
    dockerfile: scratch("COPY d /m"),
    files,
    tree: { m: dir(), ...under("m/", inside) },
  },
  {
    name: "a directory's contents into one that is there",
    dockerfile: furnished("COPY d /full"),
    files,
    tree: under("full/", inside),
  },
  {
    name: "everything",
    dockerfile: scratch("COPY d/.. /"),
    files: { ...files, ".dockerignore": "Dockerfile\n.dockerignore" },
    tree: {
      a: file("a"),
      "b.txt": file("b"),
      "c.txt": file("c", "0:0", "755"),
      "s p": file("space"),
      ...tree,
    },
  },
  {
    name: "a list with spaces in names",
    dockerfile: on('COPY ["s p", "/x y"]'),
    files,
    tree: { "x y": file("space") },
  },
  {
    name: "one word",
    dockerfile: on("COPY a"),
    files,
    error: /COPY requires at least two arguments/,
  },
  {
    name: "out of the context",
    dockerfile: on("COPY ../../a /m"),
    files,
    tree: { m: file("a") },
    notClassic: "20.10 refuses; BuildKit stays at the root of the context",
  },
  { name: "an absolute source", dockerfile: on("COPY /d/e /m"), files, tree: { m: file("e") } },
  {
    name: "--chown by numbers",
    dockerfile: on("COPY --chown=5:6 d /m/"),
    files,
    tree: {
      m: dir("5:6"),
      "m/e": file("e", "5:6"),
      "m/f": dir("5:6"),
      "m/f/g.txt": file("g", "5:6", "600"),
    },
  },
  {
    name: "--chown by one number",
    dockerfile: on("COPY --chown=5 a /m"),
    files,
    tree: { m: file("a", "5:5") },
  },
  {
    name: "--chown by names",
    dockerfile: furnished("COPY --chown=app:more a /m"),
    files,
    tree: { m: file("a", "1000:2002") },
  },
  {
    name: "--chown by one name",
    dockerfile: furnished("COPY --chown=app a /m"),
    files,
    tree: { m: file("a", "1000:1001") },
    notClassic: "20.10 takes the group of that name; here it is another number",
  },
  {
    name: "--chown by a name that nobody has",
    dockerfile: on("COPY --chown=nobodyatall a /m"),
    files,
    error: /nobodyatall/,
  },
  {
    name: "--chown for new directories",
    dockerfile: on("COPY --chown=5:6 a /n/m/"),
    files,
    tree: { n: dir("5:6"), "n/m": dir("5:6"), "n/m/a": file("a", "5:6") },
  },
  {
    name: "USER does not matter",
    dockerfile: on("USER 5:6", "COPY a /m"),
    files,
    tree: { m: file("a") },
  },
  {
    name: "--chmod",
    dockerfile: on("COPY --chmod=4711 a d /m/"),
    files,
    tree: {
      m: dir(),
      "m/a": file("a", "0:0", "4711"),
      "m/e": file("e", "0:0", "4711"),
      "m/f": dir("0:0", "4711"),
      "m/f/g.txt": file("g", "0:0", "4711"),
    },
    notClassic: "20.10 has no --chmod",
  },
  {
    name: "--chmod with words",
    dockerfile: on("COPY --chmod=u=rwX,go=rX d /m"),
    files,
    tree: { m: dir(), "m/e": file("e"), "m/f": dir(), "m/f/g.txt": file("g") },
    notClassic: "20.10 has no --chmod",
  },
  { name: "--chmod nonsense", dockerfile: on("COPY --chmod=9 a /m"), files, error: /chmod/ },
  {
    name: "--link",
    dockerfile: furnished("COPY --link a /link/m"),
    files,
    tree: { link: dir(), "link/m": file("a") },
    notClassic: "20.10 has no --link",
  },
  {
    name: "--parents",
    dockerfile: scratch("COPY --parents d/f/g.txt a /m/"),
    files,
    tree: {
      m: dir(),
      "m/a": file("a"),
      "m/d": dir("0:0", "750"),
      "m/d/f": dir(),
      "m/d/f/g.txt": file("g", "0:0", "600"),
    },
    notClassic: "20.10 has no --parents",
  },
  {
    name: "--parents with a pivot",
    dockerfile: scratch("COPY --parents d/./f/g.txt /m/"),
    files,
    tree: { m: dir(), "m/f": dir(), "m/f/g.txt": file("g", "0:0", "600") },
    notClassic: "20.10 has no --parents",
  },
  {
    name: "--parents with **",
    dockerfile: scratch("COPY --parents **/*.txt /m/"),
    files,
    tree: {
      m: dir(),
      "m/b.txt": file("b"),
      "m/c.txt": file("c", "0:0", "755"),
      "m/d": dir("0:0", "750"),
      "m/d/f": dir(),
      "m/d/f/g.txt": file("g", "0:0", "600"),
    },
    notClassic: "20.10 has no --parents",
  },
  {
    name: "--exclude",
    dockerfile: scratch("COPY --exclude=*.txt --exclude=f/*.txt . /m/"),
    files: { ...files, ".dockerignore": "d\nDockerfile\n.dockerignore" },
    tree: { m: dir(), "m/a": file("a"), "m/s p": file("space") },
    notClassic: "20.10 has no --exclude",
  },
  {
    name: "an unknown flag",
    dockerfile: on("COPY --foo a /m"),
    files,
    error: /[uU]nknown flag: (--)?foo/,
  },
  {
    name: "through a link to a directory",
    dockerfile: furnished("COPY a /link/m"),
    files,
    tree: { "real/m": file("a") },
  },
  {
    name: "onto a link to a directory",
    dockerfile: furnished("COPY a /link"),
    files,
    tree: { "real/a": file("a") },
  },
  {
    name: "through a relative link",
    dockerfile: furnished("COPY a /usr/rel/"),
    files,
    tree: { "real/dir/a": file("a") },
  },
  {
    name: "onto a link that leads nowhere",
    dockerfile: furnished("COPY a /dangling/x"),
    files,
    tree: { nowhere: dir(), "nowhere/x": file("a") },
  },
  {
    name: "a directory onto a link to a directory",
    dockerfile: furnished("COPY d/f /link"),
    files,
    tree: { "real/g.txt": file("g", "0:0", "600") },
  },
  {
    name: "a file over a file",
    dockerfile: furnished("COPY a /afile"),
    files,
    tree: { afile: file("a") },
  },
  {
    name: "a directory over a file",
    dockerfile: furnished("COPY d /afile"),
    files,
    error: /afile|cannot copy/,
  },
  {
    name: "the directory on the way keeps its mode",
    dockerfile: furnished("COPY a /sticky/m", "COPY a /locked/m"),
    files,
    tree: { "sticky/m": file("a"), "locked/m": file("a") },
  },
  {
    name: "links of the context",
    dockerfile: scratch("COPY . /m"),
    files: {
      a: "a",
      l: { type: "symlink", link: "a" },
      o: { type: "symlink", link: "/etc/passwd" },
      ".dockerignore": "Dockerfile\n.dockerignore",
    },
    tree: { m: dir(), "m/a": file("a"), "m/l": "-> a", "m/o": "-> /etc/passwd" },
  },
  {
    name: "a link by its name",
    dockerfile: scratch("COPY l /m"),
    files: { a: "a", l: { type: "symlink", link: "a" } },
    tree: { m: file("a") },
  },
  {
    name: "a link that leads out of the context",
    dockerfile: scratch("COPY l /m"),
    files: { l: { type: "symlink", link: "../../../../etc/passwd" } },
    error: /l|not found|forbidden/,
  },
  {
    name: "a link to a directory by its name",
    dockerfile: scratch("COPY l /m/"),
    files: { "d/a": "a", l: { type: "symlink", link: "d" } },
    tree: { m: dir(), "m/a": file("a") },
  },
  {
    name: "set-user-ID stays",
    dockerfile: scratch("COPY a /m"),
    files: { a: { content: "a", mode: 0o4755 } },
    tree: { m: file("a", "0:0", "4755") },
    notClassic: "20.10 drops the bit with the owner; BuildKit keeps it",
  },
  {
    name: "from a stage with owners, links and modes",
    dockerfile:
      "FROM busybox AS a\nRUN mkdir -m 700 /o && echo x > /o/x && ln -s x /o/l && ln /o/x /o/h && chown -R 8:9 /o\nFROM scratch\nCOPY --from=a /o /p\n",
    tree: { p: dir(), "p/h": file("x\n", "8:9"), "p/l": "-> x", "p/x": "= p/h" },
    notClassic: "20.10 makes what it copies root's",
  },
  {
    name: "here-documents",
    dockerfile: on("COPY <<a <<b /m/", "one $HOME", "a", "two", "b"),
    tree: { m: dir(), "m/a": file("one \n"), "m/b": file("two\n") },
    notClassic: "20.10 has no here-documents",
  },
  {
    name: "a here-document in quotes",
    dockerfile: on('COPY <<"E" /m', "one $PATH", "E"),
    tree: { m: file("one $PATH\n") },
    notClassic: "20.10 has no here-documents",
  },
  {
    name: "a here-document without tabs",
    dockerfile: on("COPY --chmod=700 --chown=1:2 <<-E /m", "\t\tone", "\tE"),
    tree: { m: file("one\n", "1:2", "700") },
    notClassic: "20.10 has no here-documents",
  },
  {
    name: "a here-document that does not end",
    dockerfile: on("COPY <<E /m", "one"),
    error: /unterminated heredoc/,
    notClassic: "20.10 has no here-documents",
  },
];

const add: readonly Case[] = [
  { name: "a file", dockerfile: on("ADD a /m"), files, tree: { m: file("a") } },
  {
    name: "an archive",
    dockerfile: scratch("ADD t.tar /u/"),
    files: { "t.tar": { content: packed } },
    tree: { u: dir(), ...under("u/", unpacked) },
  },
  {
    name: "a compressed archive, whatever it is called",
    dockerfile: scratch("ADD t /u"),
    files: { t: { content: Bun.gzipSync(new Uint8Array(packed)) } },
    tree: { u: dir(), ...under("u/", unpacked) },
  },
  {
    name: "what only looks like an archive",
    dockerfile: scratch("ADD t.tar.gz /u"),
    files: { "t.tar.gz": "no" },
    tree: { u: file("no") },
  },
  {
    name: "an archive that COPY leaves alone",
    dockerfile: on("COPY t.tar /u"),
    files: { "t.tar": { content: packed } },
    tree: { u: file(`sha256:${new Bun.CryptoHasher("sha256").update(packed).digest("hex")}`) },
  },
  {
    name: "an archive with --chown",
    dockerfile: scratch("ADD --chown=5:6 t.tar /u/"),
    files: { "t.tar": { content: packed } },
    tree: { u: dir("5:6"), "u/p": dir("5:6", "700"), "u/p/q": file("q", "5:6"), "u/l": "-> p/q" },
    notClassic: "20.10 leaves owners of archives as they are; BuildKit obeys --chown",
  },
  {
    name: "an archive into the root",
    dockerfile: scratch("ADD t.tar /"),
    files: { "t.tar": { content: packed } },
    tree: unpacked,
  },
  {
    name: "a directory",
    dockerfile: scratch("ADD d /m/"),
    files,
    tree: { m: dir(), ...under("m/", inside) },
  },
  {
    name: "an archive with --unpack=false",
    dockerfile: on("ADD --unpack=false t.tar /u"),
    files: { "t.tar": { content: packed } },
    tree: { u: file(`sha256:${new Bun.CryptoHasher("sha256").update(packed).digest("hex")}`) },
    notClassic: "20.10 has no --unpack",
  },
  {
    name: "--from",
    dockerfile: on("ADD --from=x a /m"),
    files,
    error: /[uU]nknown flag: (--)?from/,
  },
];

/** The rows about files, with what is in them. */
export const copies: readonly Case[] = [
  ...copy.map((row) => ({ ...row, name: `COPY ${row.name}` })),
  ...add.map((row) => ({ ...row, name: `ADD ${row.name}` })),
];
