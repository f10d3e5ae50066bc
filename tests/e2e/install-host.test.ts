/**
 * `berth system install` where it changes more than files: with a systemd that notes what it is told, and beside dpkg. The
 * host's directories are the host's own below and the test's own above, so that nothing of it changes.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { settledLeftover, takeCensus } from "../kits/census.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const root = join(import.meta.dir, "../..");
const executable = `${root}/dist/berth`;
const before = takeCensus();
const scratch = scratchDirectory("berth-host-");
const possible = test.skipIf(Bun.which("unshare") === null);

afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  expect(await settledLeftover(before)).toEqual([]);
});

/** Runs a script with /etc, /usr and /var of its own. `hasSystemd`: as if systemd ran here. */
async function onHost(name: string, hasSystemd: boolean, script: string) {
  const own = `${scratch}/${name}`;
  mkdirSync(`${own}/bin`, { recursive: true });
  writeFileSync(
    `${own}/bin/systemctl`,
    `#!/bin/sh\necho "systemctl $*" >> ${scratch}/${name}.calls\n[ ! -e ${scratch}/failing ] || { echo "no such unit" >&2; exit 5; }\n`,
    { mode: 0o755 },
  );
  const prelude = `set -e
mkdir ${own}/own; mount -t tmpfs none ${own}/own
for path in etc usr var; do
  mkdir -p ${own}/own/$path/upper ${own}/own/$path/work
  mount -t overlay -o lowerdir=/$path,upperdir=${own}/own/$path/upper,workdir=${own}/own/$path/work none /$path
done
mount -t tmpfs -o mode=0755 none /run
mkdir -p /var/lib/berth; mount -t tmpfs none /var/lib/berth
${hasSystemd ? "mkdir -p /run/systemd/system" : ""}
PATH=${own}/bin:$PATH
berth=${executable}
`;
  const argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const child = Bun.spawn([...argv, "sh", "-c", prelude + script], {
    ...{ stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: "/" },
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const calls = Bun.file(`${scratch}/${name}.calls`);
  const called = (await calls.exists()) ? (await calls.text()).trim().split("\n") : [];
  return { status: await child.exited, out, err, called };
}

possible(
  "with systemd: the units are enabled and started, and disabled before they go",
  async () => {
    const { status, out, err, called } = await onHost(
      "units",
      true,
      `$berth system install --group berth-testers
test -e /usr/local/lib/systemd/system/berth.socket
$berth system install --group berth-testers
echo "systemctl --" >> ${scratch}/units.calls
$berth system uninstall
! test -e /usr/local/lib/systemd/system/berth.socket`,
    );
    expect([err, status]).toEqual(["", 0]);
    expect(out).toContain("berth.service runs, and will after each boot.\n");
    const installing = [
      "systemctl daemon-reload",
      "systemctl enable --now berth.socket",
      "systemctl enable berth.service",
      "systemctl restart berth.service",
    ];
    expect(called).toEqual([
      ...installing,
      ...installing,
      "systemctl --",
      "systemctl disable --now berth.socket berth.service",
      "systemctl daemon-reload",
    ]);
  },
);

possible(
  "a daemon that somebody started by hand makes room for the service; its containers go on",
  async () => {
    const { status, out, err } = await onHost(
      "byhand",
      true,
      `wait_for() { n=0; until [ -S /run/berth/berth.sock ] && $berth version >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 400 ]; sleep 0.05; done; }
$berth daemon >/run/log 2>&1 & daemon=$!
wait_for
$berth run -d --name lives busybox sleep 1000 >/dev/null
pid=$($berth inspect -f '{{.State.Pid}}' lives)
$berth system install --group berth-testers >/dev/null
! kill -0 $daemon 2>/dev/null
kill -0 $pid
$berth system uninstall >/dev/null
$berth daemon >/run/log 2>&1 & daemon=$!
wait_for
echo $($berth inspect -f '{{.State.Running}} {{.State.Pid}}' lives) $pid
$berth rm -f lives >/dev/null
kill $daemon; wait $daemon`,
    );
    expect([err, status]).toEqual(["", 0]);
    expect(out).toMatch(/^true (\d+) \1\n$/);
  },
);

possible("what systemd refuses is told of, and can be done again", async () => {
  writeFileSync(`${scratch}/failing`, "");
  const { status, err } = await onHost(
    "fails",
    true,
    `! $berth system install --group berth-testers
rm ${scratch}/failing
$berth system install --group berth-testers >/dev/null
$berth system uninstall >/dev/null`,
  );
  expect(err).toBe("systemctl daemon-reload failed (status 5): no such unit\n");
  expect(status).toBe(0);
});

possible(
  "--user makes a user and a policy, which is the administrator's once it is changed; all of it goes again",
  async () => {
    const { status, out, err } = await onHost(
      "user",
      true,
      `mine="--user berth-tester --group berth-testers"
grep -c berth-tester /etc/passwd /etc/group || true
$berth system install $mine >/dev/null
sed -n 's/^ExecStart=//p' /usr/local/lib/systemd/system/berth.service
cut -d: -f1,4,7 /etc/passwd | sed "s/:$(sed -n 's/^berth-testers:x:\\([0-9]*\\).*/\\1/p' /etc/group):/:GROUP:/" | grep berth-tester
tail -1 /etc/sysusers.d/berth.conf
stat -c '%u %a' /etc/berth/guard.json
grep privileged /etc/berth/guard.json
$berth system uninstall >/dev/null
! ls /etc/berth 2>/dev/null
! grep berth-tester /etc/passwd /etc/group
$berth system install $mine >/dev/null
echo '{ "binds": ["/srv"] }' > /etc/berth/guard.json
$berth system install $mine >/dev/null
$berth system install --dry-run $mine | grep guard
$berth system uninstall >/dev/null
cat /etc/berth/guard.json
! grep berth-tester /etc/passwd /etc/group`,
    );
    expect([err, status]).toEqual(["", 0]);
    expect(out.split("\n")).toEqual([
      "/etc/passwd:0",
      "/etc/group:0",
      "/usr/local/bin/berth daemon --host fd:// --user berth-tester",
      "berth-tester:GROUP:/usr/sbin/nologin",
      'u berth-tester -:berth-testers "berth container engine" /var/lib/berth',
      "0 644",
      '  "privileged": false',
      "is there, and stays as it is: /etc/berth/guard.json",
      '{ "binds": ["/srv"] }',
      "",
    ]);
  },
);

/** As systemd does it for berth.socket with berth.service: listens, and starts the program for the first client, and again. */
const activator = `import os, select, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1] + ".new")
listener.listen(64)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    select.select([listener], [], [])
    child = os.fork()
    if child == 0:
        if listener.fileno() != 3: os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(sys.argv[2], sys.argv[2:])
    os.waitpid(child, 0)
`;

test.skipIf(Bun.which("python3") === null || Bun.which("unshare") === null)(
  "what the unit of --user starts on systemd's socket runs as that user, comes back, and keeps its user while it has data",
  async () => {
    writeFileSync(`${scratch}/activator.py`, activator);
    const { status, out, err } = await onHost(
      "guarded",
      true,
      `$berth system install --user berth-tester --group berth-testers >/dev/null
mkdir -m 711 /run/berth
python3 ${scratch}/activator.py /run/berth/berth.sock $(sed -n 's/^ExecStart=//p' /usr/local/lib/systemd/system/berth.service) >/run/log 2>&1 & activator=$!
until [ -S /run/berth/berth.sock ]; do sleep 0.05; done
$berth run -d --name lives busybox sleep 1000 >/dev/null || cat /run/log
user=$(id -u berth-tester)
daemon=$(cat /run/berth/berth.pid)
awk '/^Uid/ { print $2 - '$user' }' /proc/$daemon/status
stat -c %U /var/lib/berth /run/berth
pid=$($berth inspect -f '{{.State.Pid}}' lives)
kill -9 $daemon
while kill -0 $daemon 2>/dev/null; do sleep 0.05; done
echo $($berth inspect -f '{{.State.Running}} {{.State.Pid}}' lives) $pid
ls -l /proc/$(pgrep -o berth-guard)/fd | grep -c "$(ls -l /proc/$(cat /run/berth/berth.pid)/fd/3 | sed 's/.*-> //')" || true
$berth rm -f lives >/dev/null
kill $activator $(cat /run/berth/berth.pid)
while pgrep berth-guard >/dev/null; do sleep 0.05; done
$berth system uninstall
id -u berth-tester | sed "s/$user/there/"
rm -rf /var/lib/berth/*
chown 0:0 /var/lib/berth
touch /var/lib/berth/of-root
! $berth system install --user berth-tester
rm /var/lib/berth/of-root`,
    );
    expect(out.split("\n")).toEqual([
      "0",
      "berth-tester",
      "berth-tester",
      expect.stringMatching(/^true (\d+) \1$/),
      "0",
      "berth is gone from /usr/local; /var/lib/berth has its data still",
      "there",
      "",
    ]);
    expect(err).toMatch(
      /^the user berth-tester stays, whose data are in \/var\/lib\/berth\nnothing was installed: \/var\/lib\/berth is of another user than berth-tester, /,
    );
    expect(status).toBe(0);
  },
);

test.skipIf(Bun.which("dpkg-deb") === null || Bun.which("unshare") === null)(
  "the files of a package are left to dpkg: neither replaced nor taken away",
  async () => {
    const packed = Bun.spawnSync(
      [process.execPath, "tools/package.ts", "deb", `${scratch}/deb`, "--fast"],
      { cwd: root },
    );
    expect(packed.exitCode).toBe(0);
    const deb = packed.stdout.toString().trim().split("\n").at(-1);
    const { status, out, err } = await onHost(
      "packaged",
      false,
      `dpkg --no-triggers --force-depends --force-unsafe-io -i ${deb} >/dev/null 2>&1
for what in "install --prefix /usr" "install --prefix /usr --dry-run" "uninstall --prefix /usr"; do
  ! berth system $what
done
dpkg --verify berth
berth system install >/dev/null
ls /usr/local/bin/berth
/usr/local/bin/berth system uninstall >/dev/null
! ls /usr/local/bin/berth 2>/dev/null
ls /usr/bin/berth
dpkg --no-triggers --force-unsafe-io --purge berth >/dev/null 2>&1
! ls /usr/bin/berth 2>/dev/null`,
    );
    expect(err.split("\n")).toEqual([
      expect.stringMatching(
        /^nothing was installed: \/usr\/bin\/berth and \d+ more belong to the package berth\. /,
      ),
      expect.stringContaining("choose another --prefix"),
      "nothing was removed: /usr/bin/berth belongs to the package berth. Remove it with: apt-get remove berth",
      "",
    ]);
    expect([out, status]).toEqual(["/usr/local/bin/berth\n/usr/bin/berth\n", 0]);
  },
);
