import { expect, test } from "bun:test";
import { containerLabels, SelinuxLevels } from "./selinux.ts";

test("the policy names containers' labels; where it does not, they are the usual ones", () => {
  const files: Record<string, string> = {
    "/etc/selinux/config": "# SELINUXTYPE=mls\nSELINUX=enforcing\nSELINUXTYPE=mine\n",
    "/etc/selinux/mine/contexts/lxc_contexts":
      'process = "system_u:system_r:svirt_lxc_net_t:s0"\nfile = "system_u:object_r:svirt_sandbox_file_t:s0"\nro_file="system_u:object_r:usr_t:s0"\n',
  };
  expect(containerLabels((path) => files[path] ?? "")).toEqual({
    process: "system_u:system_r:svirt_lxc_net_t:s0",
    mount: "system_u:object_r:svirt_sandbox_file_t:s0",
  });
  expect(containerLabels(() => "")).toEqual({
    process: "system_u:system_r:container_t:s0",
    mount: "system_u:object_r:container_file_t:s0",
  });
});

test("no two containers have a level, until one of them lets go", () => {
  const numbers = [7, 7, 9, 2, 2, 9, 9, 2, 1, 0];
  const levels = new SelinuxLevels(() => numbers.shift() ?? 0);
  expect(levels.choose()).toBe("s0:c2,c9");
  // The same two, in either order, are the same level.
  expect(levels.choose()).toBe("s0:c0,c1");
  levels.take("s0:c2,c9");
  levels.release("s0:c2,c9");
  numbers.unshift(2, 9, 3, 4);
  expect(levels.choose()).toBe("s0:c3,c4");
  levels.release("s0:c2,c9");
  numbers.splice(0, numbers.length, 2, 9);
  expect(levels.choose()).toBe("s0:c2,c9");
});
