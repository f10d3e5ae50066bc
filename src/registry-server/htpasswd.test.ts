import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { Htpasswd, parseHtpasswd } from "./htpasswd.ts";

const directory = mkdtempSync("/tmp/bh-");
const path = `${directory}/users`;
afterAll(() => rmSync(directory, { recursive: true }));

const hash = (password: string) => Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

test("who has the password is admitted, each time, and nobody else", async () => {
  writeFileSync(path, `ann:${(await hash("p:w")).replace("$2b$", "$2y$")}\n\n# a remark\n`);
  const users = new Htpasswd(path);
  for (let times = 0; times < 2; times++) expect(await users.admits(basic("ann:p:w"))).toBe(true);
  for (const header of [
    ...["ann:p", "ann:", "ann", "bob:p:w", ":p:w", "ann:p:w\0x"].map(basic),
    ...[undefined, "", "Basic", "Bearer x", "Basic ???"],
  ])
    expect([header, await users.admits(header)]).toEqual([header, false]);
});

test("a change of the file counts at once; a file that is gone or broken changes nothing", async () => {
  writeFileSync(path, `ann:${await hash("one")}\n`);
  const users = new Htpasswd(path);
  expect(await users.admits(basic("ann:one"))).toBe(true);
  writeFileSync(path, `ann:${await hash("two")}\nbob:${await hash("b")}\n`);
  expect(await users.admits(basic("ann:one"))).toBe(false);
  expect(await users.admits(basic("ann:two"))).toBe(true);
  writeFileSync(path, "broken");
  expect(await users.admits(basic("bob:b"))).toBe(true);
  rmSync(path);
  expect(await users.admits(basic("ann:two"))).toBe(true);
});

test("a flood of passwords is turned away, and whoever has been admitted is not", async () => {
  writeFileSync(path, `ann:${await hash("right")}\n`);
  const users = new Htpasswd(path);
  expect(await users.admits(basic("ann:right"))).toBe(true);
  const flood = Array.from({ length: 100 }, (_, at) => users.admits(basic(`ann:wrong${at}`)));
  expect(await users.admits(basic("ann:right"))).toBe(true);
  const answers = await Promise.allSettled(flood);
  expect(answers.filter(({ status }) => status === "rejected")).toHaveLength(36);
  expect(await users.admits(basic("ann:wrong"))).toBe(false);
});

test("a password of more than 72 bytes is taken as bcrypt takes it", async () => {
  const long = "x".repeat(72);
  writeFileSync(path, `ann:${await hash(long)}\n`);
  expect(await new Htpasswd(path).admits(basic(`ann:${long}and more`))).toBe(true);
});

test("entries that are not bcrypt are refused, with their line and without their content", () => {
  for (const line of ["ann:secret", "ann:{SHA}secret", "ann:$apr1$secret", ":x", "ann"])
    expect(() => parseHtpasswd(`# first\n${line}\n`)).toThrow(/^line 2 is not NAME:HASH/);
  expect(() => new Htpasswd(`${directory}/none`)).toThrow("ENOENT");
});

test("whatever is in the file, each user has a hash, or the file is refused by a line of its", async () => {
  const text = `# users\nann:$2y$05$${"a".repeat(53)}\nbob:$2b$10$${"./Zz9".repeat(10)}abc\n`;
  await checkAll(damagedText([text]), async (damaged) => {
    const users = await valueOrFault(() => parseHtpasswd(damaged));
    for (const [name, one] of users ?? []) {
      expect(name).not.toMatch(/^$|[:\n]/);
      expect(one).toMatch(/^\$2b\$\d\d\$.{53}$/);
    }
  });
});
