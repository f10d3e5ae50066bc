/**
 * AppArmor and SELinux on a kernel that has neither: their files in /sys are stood in for by directories of the daemon's own mount
 * namespace, and what is shown is what the daemon, AppArmor's parser and the shim do with the real kernel's files.
 */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { TestDaemon } from "../../kits/daemon.ts";
import { scratchDirectory } from "../../kits/scratch.ts";

const parser = Bun.which("apparmor_parser", { PATH: "/usr/sbin:/sbin" });
const hasModule = ["/sys/kernel/security/apparmor", "/sys/fs/selinux/enforce"].some(existsSync);

/** A daemon whose mount namespace has what `script` makes. */
async function among(
  script: string,
  flags: readonly string[],
  use: (daemon: TestDaemon, inside: (path: string) => string) => Promise<void>,
): Promise<void> {
  const within = ["unshare", "--mount", "sh", "-ec", `${script}\nexec "$@"`, "sh"];
  const daemon = await new TestDaemon(flags, within).start();
  try {
    await use(daemon, (path) => `/proc/${daemon.pid}/root${path}`);
  } finally {
    await daemon.destroy();
  }
}

const apparmor = `
mount -t tmpfs tmpfs /sys/kernel/security
mkdir -p /sys/kernel/security/apparmor
cd /sys/kernel/security/apparmor
cp -r /usr/share/apparmor-features features 2>/dev/null || mkdir features
: > .replace; : > .load; : > .remove; : > profiles
cd /
`;

test.skipIf(hasModule || parser === null)(
  "AppArmor: the profile is compiled and loaded by its parser, once; containers have it, or what they name (skipped where AppArmor is)",
  async () => {
    await among(apparmor, [], async (daemon, inside) => {
      const info = JSON.parse((await daemon.api("GET", "/info")).text) as {
        SecurityOptions: string[];
      };
      expect(info.SecurityOptions[0]).toBe("name=apparmor");
      const policy = () => readFileSync(inside("/sys/kernel/security/apparmor/.replace"), "latin1");
      const run = (...flags: string[]) =>
        daemon.docker("run", "--name", "one", ...flags, "busybox", "true");
      const refusal = (value: string) =>
        `unable to apply apparmor profile: apparmor failed to apply profile: write /proc/thread-self/attr/${value}: `;
      for (const [flags, profile, file] of [
        [[], "berth-default", "apparmor/exec"],
        [["--init"], "berth-default", "apparmor/current"],
        [["--privileged"], "unconfined", "apparmor/exec"],
        [["--security-opt", "apparmor=web"], "web", "apparmor/exec"],
        [["--security-opt", "apparmor:unconfined"], "unconfined", "apparmor/exec"],
      ] as const) {
        const { err } = await run(...flags);
        // The kernel has no such file: that it was to be written is what is seen.
        expect([flags, err]).toEqual([flags, expect.stringContaining(refusal(file))]);
        expect(await daemon.inspect("one", "{{.AppArmorProfile}}")).toBe(profile);
        await daemon.berth("rm", "-f", "one");
      }
      expect(policy()).toContain("berth-default\0");
      expect(daemon.log).not.toContain("could not be loaded");
    });
  },
);

const selinux = `
mount -t tmpfs tmpfs /mnt
mkdir /mnt/cgroup
mount --rbind /sys/fs/cgroup /mnt/cgroup
mount -t tmpfs tmpfs /sys/fs
mkdir /sys/fs/cgroup /sys/fs/selinux
mount --rbind /mnt/cgroup /sys/fs/cgroup
echo 1 > /sys/fs/selinux/enforce
`;

/** The label of a file, as the file system keeps it. */
function labelOf(path: string): string {
  const program = `import os,sys; sys.stdout.write(os.getxattr(${JSON.stringify(path)}, "security.selinux", follow_symlinks=False).decode())`;
  const { stdout } = Bun.spawnSync(["python3", "-c", program]);
  return stdout.toString().replace(/\0$/, "");
}

test.skipIf(hasModule)(
  "SELinux: labels and levels, the engine's files and sources of mounts relabelled, and no link followed (skipped where SELinux is)",
  async () => {
    const scratch = scratchDirectory("bt-labels-");
    const flags = ["--selinux-enabled", "--default-userns=host"];
    await among(selinux, flags, async (daemon) => {
      const { out: info } = await daemon.docker("info", "-f", "{{.SecurityOptions}}");
      expect(info).toContain("name=selinux");
      const labels = (name: string) =>
        daemon.inspect(name, "{{.ProcessLabel}} {{.MountLabel}} {{.HostConfig.SecurityOpt}}");
      const create = (name: string, ...more: string[]) =>
        daemon.docker("create", "--name", name, ...more, "busybox", "true");
      await create("one");
      const pair = "s0:c\\d+,c\\d+";
      expect(await labels("one")).toMatch(
        new RegExp(
          `^system_u:system_r:container_t:(${pair}) system_u:object_r:container_file_t:\\1 \\[\\]$`,
        ),
      );
      const said = ["type:web_t", "filetype:web_file_t", "level:s0:c1,c2"];
      await create("said", ...said.flatMap((one) => ["--security-opt", `label=${one}`]));
      expect(await labels("said")).toStartWith(
        "system_u:system_r:web_t:s0:c1,c2 system_u:object_r:web_file_t:s0:c1,c2 ",
      );
      await create("none", "--security-opt", "label:disable");
      await create("all", "--privileged");
      for (const name of ["none", "all"])
        expect(await daemon.inspect(name, "[{{.ProcessLabel}}]")).toBe("[]");
      const odd = await create("odd", "--security-opt", "label=colour:red");
      expect([odd.status, odd.err]).toEqual([
        1,
        expect.stringContaining('bad label option "colour"'),
      ]);

      for (const directory of ["in/deep", "out", "own"])
        mkdirSync(`${scratch}/${directory}`, { recursive: true });
      writeFileSync(`${scratch}/in/deep/file`, "");
      writeFileSync(`${scratch}/out/file`, "");
      symlinkSync(`${scratch}/out`, `${scratch}/in/link`);
      const shared = "system_u:object_r:container_file_t:s0";
      const started = await daemon.docker(
        ...["run", "--name", "mounts", "-v", `${scratch}/in:/in:z`, "-v", `${scratch}/own:/own:Z`],
        ...["-v", "named:/data", "busybox", "true"],
      );
      const own = (await daemon.inspect("mounts", "{{.MountLabel}}")).trim();
      // This kernel takes no label of a mount: that it was to have one is what is seen.
      expect(started.err).toContain("Invalid argument".toLowerCase());
      for (const path of ["in", "in/deep", "in/deep/file", "in/link"])
        expect([path, labelOf(`${scratch}/${path}`)]).toEqual([path, shared]);
      expect(labelOf(`${scratch}/own`)).toBe(own);
      for (const path of ["out", "out/file"])
        expect([path, labelOf(`${scratch}/${path}`)]).toEqual([path, ""]);
      expect(labelOf(await daemon.inspect("mounts", "{{.HostsPath}}"))).toBe(own);
      const { out: volume } = await daemon.docker(
        "volume",
        "inspect",
        "-f",
        "{{.Mountpoint}}",
        "named",
      );
      expect(labelOf(volume.trim())).toBe(shared);
      for (const path of ["/usr", "/etc/", "/home"]) {
        const refused = await daemon.docker("run", "--rm", "-v", `${path}:/x:z`, "busybox", "true");
        expect([path, refused.status, refused.err]).toEqual([
          path,
          125,
          expect.stringContaining(
            `SELinux relabeling of ${path.replace(/\/$/, "")} is not allowed`,
          ),
        ]);
      }
      expect(labelOf("/usr")).toBe("");
      await daemon.stop();
      await daemon.start();
      await Promise.all(Array.from({ length: 20 }, (_, n) => create(`many-${n}`)));
      const { out } = await daemon.docker("ps", "-aq");
      const all = await daemon.docker(
        "inspect",
        "-f",
        "{{.MountLabel}}",
        ...out.split("\n").filter(Boolean),
      );
      const levels = all.out.trim().split("\n");
      expect(new Set(levels).size).toBe(levels.length);
    });
    rmSync(scratch, { recursive: true });
  },
);
