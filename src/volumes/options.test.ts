import { expect, test } from "bun:test";
import { checkLocalOptions, deviceMountOf, hostOf, mountFailure, withAddress } from "./options.ts";

test("what is no option, or lacks another, is refused in Docker's words", () => {
  for (const [options, why] of [
    [{ foo: "" }, 'create v: invalid option: "foo"'],
    [{ type: "nfs" }, 'create v: missing required option: "device"'],
    [{ device: ":/x" }, 'create v: missing required option: "type"'],
    [{ o: "ro", device: "/x" }, 'create v: missing required option: "type"'],
    [{ type: "a", device: "a\0b" }, 'create v: the option "device" has a NUL byte'],
  ] as const)
    expect(() => checkLocalOptions("v", { ...options })).toThrow(why);
  checkLocalOptions("v", {});
  checkLocalOptions("v", { type: "none", o: "bind", device: "/x" });
});

test("options become a bind, or a file system with its parameters and the mount's attributes", () => {
  expect(deviceMountOf({})).toBeUndefined();
  expect(deviceMountOf({ type: "none", device: "/x", o: "rbind,ro" })).toMatchObject({
    bind: "rbind",
    options: { set: 1n, params: [] },
  });
  expect(deviceMountOf({ type: "bind", device: "/x" })?.bind).toBe("bind");
  const disk = deviceMountOf({ type: "ext4", device: "/dev/sda1", o: "ro,noexec,data=journal" });
  expect(disk).toMatchObject({ options: { set: 9n, params: ["data=journal", "ro"] } });
  expect(disk?.bind).toBeUndefined();
});

test("a server's name is what is to be looked up, and no other file system's", () => {
  const named = { type: "nfs", device: ":/x", o: "addr=files.example,vers=4" };
  const mount = deviceMountOf(named);
  if (mount === undefined) throw new Error("no mount");
  expect(hostOf(mount)).toBe("files.example");
  expect(withAddress(mount, "10.0.0.1").options.params).toEqual(["addr=10.0.0.1", "vers=4"]);
  const host = (type: string, device: string, o: string) => {
    const found = deviceMountOf({ type, device, o });
    return found && hostOf(found);
  };
  expect(host("nfs", ":/x", "addr=10.0.0.1")).toBeUndefined();
  expect(host("nfs", ":/x", "addr=fe80::1")).toBeUndefined();
  expect(host("cifs", "//server/share", "username=a")).toBe("server");
  expect(host("tmpfs", "tmpfs", "addr=name")).toBeUndefined();
});

test("a failure tells source, target, flags and data, and no password", () => {
  const o = "ro,username=a,password=secret,pass=secret,password2=secret";
  const mount = deviceMountOf({ type: "cifs", device: "//s/x", o });
  if (mount === undefined) throw new Error("no mount");
  expect(mountFailure(mount, "/v/_data", "host is down")).toBe(
    "error while mounting volume '/v/_data': failed to mount local volume: mount //s/x:/v/_data, flags: 0x1, data: username=a,password=********,pass=********,password2=********: host is down",
  );
});
