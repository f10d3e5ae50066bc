/** The packages in a fresh Debian: installed as a user does, a container run, and taken away again. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { debianRoot } from "../../tools/debian-root.ts";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const root = join(import.meta.dir, "../..");
const node = join(root, ".tools/node");
const npm = Bun.which("npm");
const before = takeCensus();
const scratch = scratchDirectory("berth-debian-");
// `./test` makes it, and says so when it cannot.
const inDebian = test.skipIf(!existsSync(debianRoot) || Bun.which("unshare") === null);

afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

function make(kind: "deb" | "npm"): string {
  const argv = [process.execPath, "tools/package.ts", kind, `${scratch}/packages`, "--fast"];
  const made = Bun.spawnSync(argv, { cwd: root });
  expect([made.stderr.toString(), made.exitCode]).toEqual(["", 0]);
  return made.stdout.toString().trim().split("\n").at(-1) ?? "";
}

/** Runs a script in the fresh Debian, with these files and directories of the host below /given. */
async function inFreshDebian(script: string, given: Readonly<Record<string, string>>) {
  const own = mkdtempSync(`${scratch}/own-`);
  mkdirSync(`${own}/layers`);
  const mounts = Object.entries(given).map(
    ([name, path]) =>
      `if [ -d '${path}' ]; then mkdir -p root/given/${name}; else mkdir -p root/given; : > root/given/${name}; fi
mount --bind '${path}' root/given/${name}`,
  );
  const prelude = `set -e
cd ${own}
mount -t tmpfs none layers
mkdir layers/upper layers/work root
mount -t overlay -o lowerdir=${debianRoot},upperdir=layers/upper,workdir=layers/work none root
mount -t proc proc root/proc
for path in sys dev; do mount --rbind /$path root/$path; done
mount -t tmpfs none root/run
mkdir -p root/var/lib/berth; mount -t tmpfs none root/var/lib/berth
${mounts.join("\n")}
cd root; pivot_root . mnt; umount -l /mnt
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive sh -c "$0"`;
  const stop = `
stop_daemon() { pid=$(cat /run/berth/berth.pid 2>/dev/null) || return 0; kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done; }
`;
  const argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", prelude];
  const child = Bun.spawn([...argv, `set -e${stop}${script}`], {
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, out, err };
}

inDebian("the .deb: apt installs it, a container runs, apt purges it", async () => {
  const { status, out, err } = await inFreshDebian(
    `apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 /given/berth.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
getent group berth >/dev/null && echo group
dpkg --verify berth
berth run --rm busybox echo a container 2>/dev/null
stop_daemon
apt-get install -qq -y --no-install-recommends --reinstall /given/berth.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
berth run --rm busybox echo after an upgrade 2>/dev/null
stop_daemon
! berth system uninstall --prefix /usr 2>/tmp/refused
cat /tmp/refused
apt-get purge -qq -y berth >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
getent group berth || echo no group
find / -xdev -name '*berth*' ! -path '/given/*' ! -path '/var/lib/berth' | sort`,
    { "berth.deb": make("deb") },
  );
  expect([err, status, out]).toEqual([
    "",
    0,
    `group
a container
after an upgrade
nothing was removed: /usr/bin/berth belongs to the package berth. Remove it with: apt-get remove berth
no group
`,
  ]);
});

const hasNpm = npm !== null && existsSync(node);
(hasNpm ? inDebian : test.skip)(
  "the npm package: npm installs it without a network, it installs itself on the host, and both go again",
  async () => {
    const { status, out, err } = await inFreshDebian(
      `npm() { /given/node /given/npm/bin/npm-cli.js --offline --no-audit --no-fund --loglevel=error --prefix /opt/npm "$@"; }
npm install -g /given/berth.tgz >/dev/null
/opt/npm/bin/berth run --rm busybox echo a container 2>/dev/null
stop_daemon
/opt/npm/bin/berth system install >/dev/null
berth --version | cut -d' ' -f1,2
npm uninstall -g berth >/dev/null
test ! -e /opt/npm/bin/berth
berth run --rm busybox echo installed 2>/dev/null
stop_daemon
berth system uninstall >/dev/null
find / -xdev -name '*berth*' ! -path '/given/*' ! -path '/root/.npm/*' ! -path '/var/lib/berth' | sort`,
      {
        "berth.tgz": make("npm"),
        node: realpathSync(node),
        npm: dirname(dirname(realpathSync(npm ?? ""))),
      },
    );
    expect([err, status, out]).toEqual(["", 0, "a container\nberth version\ninstalled\n"]);
  },
);
