import { expect, test } from "bun:test";
import { parseSubordinateIds } from "../../spec/subordinate-ids.ts";
import { ownMaps } from "./ids.ts";
import { chooseOutside, outsideCommand } from "./outside.ts";

const user = { name: "ann", uid: 1000, gid: 1001 };
const files = (uids: string, gids = uids) => ({
  uids: parseSubordinateIds(uids),
  gids: parseSubordinateIds(gids),
});

test("the user is 0, its ranges follow one another, whether by name or by number", () => {
  const maps = ownMaps(
    user,
    files("bob:1:9\nann:100000:65536\n1000:300000:10\n", "ann:200000:70000\n"),
  );
  expect(maps).toEqual({
    uids: ["0", "1000", "1", "1", "100000", "65536", "65537", "300000", "10"],
    gids: ["0", "1001", "1", "1", "200000", "70000"],
    count: 65546,
  });
});

test("who has no ranges is told where, and what to do", () => {
  expect(() => ownMaps(user, files("ann:1000:5\n", ""))).toThrow(
    /^\/etc\/subgid gives the user ann no ids.*usermod --add-subuids/,
  );
  expect(() => ownMaps(user, files("bob:1000:5\n"))).toThrow("/etc/subuid and /etc/subgid give");
});

test("pasta comes before slirp4netns, and what is asked for before both", () => {
  const all = () => "/usr/bin/x";
  const only = (there: string) => (name: string) => (name === there ? `/usr/bin/${name}` : null);
  expect(chooseOutside(undefined, all)).toBe("pasta");
  expect(chooseOutside(undefined, only("slirp4netns"))).toBe("slirp4netns");
  expect(chooseOutside("slirp4netns", all)).toBe("slirp4netns");
  expect(chooseOutside("none", () => null)).toBe("none");
  expect(() => chooseOutside(undefined, () => null)).toThrow("install the package passt");
  expect(() => chooseOutside("pasta", only("slirp4netns"))).toThrow("pasta is not installed");
  expect(() => chooseOutside("vpnkit", all)).toThrow("it must be pasta, slirp4netns, none");
});

test("neither program forwards ports of its own, nor reaches the host's loopback", () => {
  const pasta = outsideCommand("pasta", 7, { pidFile: "/p" }).join(" ");
  expect(pasta).toContain("-t none -u none -T none -U none");
  expect(pasta).toContain("--no-map-gw");
  expect(pasta).toEndWith("--userns /proc/7/ns/user --netns /proc/7/ns/net");
  expect(outsideCommand("slirp4netns", 7)).toContain("--disable-host-loopback");
});

test("whoever supervises pasta has it in front of it, on the same terms", () => {
  const [first, again] = [
    outsideCommand("pasta", 7, { pidFile: "/p" }),
    outsideCommand("pasta", 7),
  ];
  expect(first.join(" ").replace("--pid /p", "--foreground")).toBe(again.join(" "));
});
