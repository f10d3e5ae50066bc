import { expect, test } from "bun:test";
import type { HostConfig } from "../spec/engine-api.ts";
import {
  checkRelabelling,
  labelOptions,
  labelsFor,
  levelOf,
  relabelWish,
  withLevel,
} from "./selinux-labels.ts";

const usual = {
  process: "system_u:system_r:container_t:s0",
  mount: "system_u:object_r:container_file_t:s0",
};
const level = "s0:c3,c700";
const of = (...options: string[]) => labelsFor(options, usual, level);

test("a container has the host's usual labels with a level of its own", () => {
  expect(of()).toEqual({
    process: "system_u:system_r:container_t:s0:c3,c700",
    mount: "system_u:object_r:container_file_t:s0:c3,c700",
  });
  expect(of("disable")).toEqual({ process: "", mount: of().mount });
});

test("each part can be said, and what is of files too goes there", () => {
  expect(of("type:svirt_apache_t", "role:r", "filetype:web_t")).toEqual({
    process: "system_u:r:svirt_apache_t:s0:c3,c700",
    mount: "system_u:object_r:web_t:s0:c3,c700",
  });
  expect(of("level:s0:c1,c2", "user:me")).toEqual({
    process: "me:system_r:container_t:s0:c1,c2",
    mount: "me:object_r:container_file_t:s0:c1,c2",
  });
  expect(of("level:TopSecret").process).toBe("system_u:system_r:container_t:TopSecret");
  expect(levelOf(of().mount)).toBe(level);
  expect(withLevel(of().mount, "s0")).toBe(usual.mount);
  expect(of("nested")).toEqual(of());
});

test("what is no such option is refused in Docker's words", () => {
  expect(() => of("odd")).toThrow(
    "bad label option \"odd\", valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value",
  );
  expect(() => of("odd:x")).toThrow(
    "bad label option \"odd\", valid options 'disable, user, role, level, type, filetype'",
  );
});

test("whoever shares processes with the host has no label, with another container that one's", () => {
  const other = (name: string) => (name === "plain" ? "" : `u:r:t:${name}`);
  const options = (hostConfig: HostConfig) => labelOptions(hostConfig, other);
  expect(options({})).toEqual([]);
  for (const hostConfig of [{ Privileged: true }, { PidMode: "host" }, { IpcMode: "host" }])
    expect(options(hostConfig)).toEqual(["disable"]);
  const SecurityOpt = ["label=type:x_t", "label:level:s0", "no-new-privileges"];
  expect(options({ Privileged: true, SecurityOpt })).toEqual(["type:x_t", "level:s0"]);
  expect(options({ SecurityOpt: ["disable"] })).toEqual(["disable"]);
  const joined = ["user:u", "role:r", "type:t", "level:s0:c1"];
  expect(options({ PidMode: "container:s0:c1" })).toEqual(joined);
  expect(options({ PidMode: "container:s0:c1", IpcMode: "container:s0:c1" })).toEqual(joined);
  expect(options({ IpcMode: "container:plain" })).toEqual([]);
  expect(() => options({ PidMode: "container:a", IpcMode: "container:b" })).toThrow(
    "--ipc and --pid containers SELinux labels aren't the same",
  );
});

test("z and Z are wishes, and the host's own directories are not relabelled", () => {
  expect(["z", "ro,z", "Z", "rw,Z", "", "ro"].map(relabelWish)).toEqual<(string | undefined)[]>([
    ...["shared", "shared", "own", "own", undefined, undefined],
  ]);
  for (const path of ["/", "/usr", "/usr/", "/etc", "/home", "/var/lib//", "/etc/shadow"])
    expect(() => checkRelabelling(path)).toThrow(`SELinux relabeling of ${path} is not allowed`);
  for (const path of ["/home/me", "/var/lib/x", "/srv/data"]) checkRelabelling(path);
});
