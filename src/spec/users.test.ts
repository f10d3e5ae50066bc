import { expect, test } from "bun:test";
import { resolveUser } from "./users.ts";

const passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n";
const group = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nextra:x:77:\n";

test("names and numbers are looked up in the image's own files", () => {
  expect(resolveUser("", passwd, group)).toEqual({
    uid: 0,
    gid: 0,
    groups: [0, 10].filter((gid) => gid === 0 || gid === 10),
    home: "/root",
  });
  expect(resolveUser("app", passwd, group)).toEqual({
    uid: 1000,
    gid: 1001,
    groups: [1001, 10],
    home: "/home/app",
  });
  expect(resolveUser("1000", passwd, group).gid).toBe(1001);
  expect(resolveUser("app:extra", passwd, group)).toMatchObject({ gid: 77, groups: [77] });
  expect(resolveUser("5:6", passwd, group, ["wheel", "9"])).toEqual({
    uid: 5,
    gid: 6,
    groups: [6, 10, 9],
    home: "/",
  });
});

test("a number is that number, whoever has it for a name (CVE-2016-3697)", () => {
  const evil = "1000:x:0:0::/root:/bin/sh\n";
  expect(resolveUser("1000", evil, "1000:x:0:\n")).toMatchObject({ uid: 1000, gid: 0 });
  expect(resolveUser("1000:1000", evil, "1000:x:0:\n")).toMatchObject({ uid: 1000, gid: 1000 });
  expect(resolveUser("5", "", "7:x:0:\n", ["7"]).groups).toEqual([0, 7]);
});

test("what is nobody, or beyond 31 bits, is an error and never uid 0", () => {
  expect(() => resolveUser("nobody", passwd, group)).toThrow(
    "unable to find user nobody: no matching entries in passwd file",
  );
  expect(() => resolveUser("0:nogroup", passwd, group)).toThrow("unable to find group nogroup");
  for (const bad of ["4294967296", "2147483648", "-1", "0:4294967296", "99999999999999999999"])
    expect(() => resolveUser(bad, passwd, group)).toThrow("must be in range 0-2147483647");
  // Nor does a line of the image's files make somebody root that the kernel would take for it.
  for (const id of ["4294967296", "", "-0", "0x0", "1e-9", "9".repeat(30), "２"]) {
    expect(() => resolveUser("evil", `evil:x:${id}:5::/:\n`, "")).toThrow(
      "unable to find user evil",
    );
    expect(() => resolveUser("evil", `evil:x:5:${id}::/:\n`, "")).toThrow(
      "unable to find user evil",
    );
    expect(() => resolveUser("5:evil", "", `evil:x:${id}:\n`)).toThrow("unable to find group evil");
  }
  expect(resolveUser("0", "", "")).toEqual({ uid: 0, gid: 0, groups: [0], home: "/" });
});
