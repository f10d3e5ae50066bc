import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { AuditLog, subjectOf } from "./audit.ts";

const scratch = mkdtempSync("/tmp/bt-audit-");
afterAll(() => rmSync(scratch, { recursive: true }));

test("what a request is about: its object, and of its query what can hold no secret", () => {
  expect(subjectOf("/v1.44/containers/web/stop?t=3")).toEqual({
    path: "/containers/web/stop",
    object: "web",
    query: { t: "3" },
  });
  expect(subjectOf("/images/library/busybox/tag?repo=x&tag=y").object).toBe("library/busybox");
  expect(subjectOf("/containers/create?name=new")).toMatchObject({ object: "new" });
  expect(subjectOf("/containers/json")).toEqual({ path: "/containers/json" });
  for (const uri of [
    "/build?buildargs=%7B%22T%22%3A%22hidden%22%7D&remote=http%3A%2F%2Fu%3Ahidden%40h%2Fx.git",
    "/images/create?fromSrc=https%3A%2F%2Fu%3Ahidden%40h%2Fx",
    "/images/create?fromImage=https%3A%2F%2Fu%3Ahidden%40h%2Fx",
    "/commit?changes=ENV%20T%3Dhidden&comment=hidden",
    "/images/https://u:hidden@h/x/json",
  ])
    expect(JSON.stringify(subjectOf(uri))).not.toContain("hidden");
});

test("a full file is renamed and a new one begun; five are kept, and every line is whole", () => {
  const path = `${scratch}/audit`;
  const audit = new AuditLog(path, 2000);
  const peer = { user: "client", method: "TLS", address: "192.0.2.1" } as const;
  const note = (n: number) =>
    audit.note({
      peer,
      method: "POST",
      uri: `/containers/c${n}/start`,
      status: 204,
      milliseconds: n,
    });
  for (let n = 0; n < 30; n++) note(n);
  const lines = [4, 3, 2, 1]
    .map((n) => `${path}.${n}`)
    .concat(path)
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line) as { object: string; who: object });
  expect(lines.map(({ object }) => object)).toEqual(Array.from({ length: 30 }, (_, n) => `c${n}`));
  expect(lines[0]?.who).toEqual({ certificate: "client", address: "192.0.2.1" });
  for (let n = 0; n < 300; n++) note(n);
  expect(existsSync(`${path}.4`)).toBe(true);
  expect(existsSync(`${path}.5`)).toBe(false);
  audit.close();
});
