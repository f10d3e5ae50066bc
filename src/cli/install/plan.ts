/**
 * What an installation consists of: paths under a prefix and their contents. Pure.
 */

/** A file to be put in place. */
export interface PlannedFile {
  /** Absolute, without the destination directory. */
  readonly path: string;
  readonly mode: number;
  /** Its text, or the file that it is a copy of. */
  readonly content: string | { readonly copyOf: string };
  /** It is the administrator's to change: whatever is there already stays. */
  readonly isConfiguration?: boolean;
}

/** What an installation is made from. */
export interface Parts {
  readonly prefix: string;
  readonly executable: string;
  /** The group whose members may use the socket. */
  readonly group: string;
  /** Whom the daemon runs as, beside a guard that keeps root's rights; undefined: root. */
  readonly user: string | undefined;
  /** Names of shells and their completion scripts. */
  readonly completions: Readonly<Record<"bash" | "zsh" | "fish", string>>;
  /** Manual pages of section 1, by their names without the suffix. */
  readonly manual: ReadonlyMap<string, string>;
}

/** Where the list of what was installed is kept. */
export function manifestPath(prefix: string): string {
  return `${prefix}/share/berth/installed.json`;
}

/** Where systemd looks for units of this prefix: its own directories know only two. */
export function unitDirectory(prefix: string): string {
  return /^\/usr(\/local)?$/.test(prefix) ? `${prefix}/lib/systemd/system` : "/etc/systemd/system";
}

function socketUnit(group: string): string {
  return `[Unit]
Description=berth container engine: the API's socket
Documentation=man:berth(1)

[Socket]
ListenStream=/run/berth/berth.sock
SocketMode=0660
SocketUser=root
SocketGroup=${group}
DirectoryMode=0711

[Install]
WantedBy=sockets.target
`;
}

/** KillMode: containers outlive the daemon, whatever ends it. Delegate: their control groups are the daemon's business. */
function serviceUnit(executable: string, user: string | undefined): string {
  return `[Unit]
Description=berth container engine
Documentation=man:berth(1)
After=network-online.target nss-lookup.target berth.socket
Wants=network-online.target
Requires=berth.socket
StartLimitBurst=5
StartLimitIntervalSec=60

[Service]
Type=exec
ExecStart=${executable} daemon --host fd://${user === undefined ? "" : ` --user ${user}`}
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
TimeoutStopSec=60
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
Also=berth.socket
`;
}

/** Where systemd looks for units of users' own managers. */
export function userUnitDirectory(prefix: string): string {
  return /^\/usr(\/local)?$/.test(prefix) ? `${prefix}/lib/systemd/user` : "/etc/systemd/user";
}

/** A daemon of the user's who enables it. Its control groups are below the service's, and containers outlive it. */
function userServiceUnit(executable: string): string {
  return `[Unit]
Description=berth container engine, rootless
Documentation=man:berth(1)
StartLimitBurst=5
StartLimitIntervalSec=60

[Service]
Type=exec
ExecStart=${executable} daemon --rootless
KillMode=process
Delegate=yes
Restart=always
RestartSec=1
TimeoutStopSec=60
LimitNOFILE=infinity

[Install]
WantedBy=default.target
`;
}

/** What the daemon of an ordinary user may have of the host (docs/privilege-separation.md): what it has without the file, to be changed. */
const guardPolicy: PlannedFile = {
  path: "/etc/berth/guard.json",
  mode: 0o644,
  content: `{
  "binds": [],
  "ports": ["1-65535"],
  "addresses": ["0.0.0.0/0", "::/0"],
  "devices": [],
  "privileged": false
}
`,
  isConfiguration: true,
};

function sysusers({ group, user }: Parts): string {
  const groups = `# Members reach the daemon's socket, which makes them ${user === undefined ? "root on this host" : "masters of its containers"}.\ng ${group} -\n`;
  return user === undefined
    ? groups
    : `${groups}u ${user} -:${group} "berth container engine" /var/lib/berth\n`;
}

/** All files of an installation. */
export function installationOf(parts: Parts): PlannedFile[] {
  const { prefix, executable, group, user, completions, manual } = parts;
  const units = unitDirectory(prefix);
  const share = `${prefix}/share`;
  const text = (path: string, content: string): PlannedFile => ({ path, mode: 0o644, content });
  return [
    { path: `${prefix}/bin/berth`, mode: 0o755, content: { copyOf: executable } },
    text(`${share}/bash-completion/completions/berth`, completions.bash),
    text(`${share}/zsh/site-functions/_berth`, completions.zsh),
    text(`${share}/fish/vendor_completions.d/berth.fish`, completions.fish),
    text(`${units}/berth.socket`, socketUnit(group)),
    text(`${units}/berth.service`, serviceUnit(`${prefix}/bin/berth`, user)),
    text(`${userUnitDirectory(prefix)}/berth.service`, userServiceUnit(`${prefix}/bin/berth`)),
    text(
      prefix === "/usr" ? "/usr/lib/sysusers.d/berth.conf" : "/etc/sysusers.d/berth.conf",
      sysusers(parts),
    ),
    ...(user === undefined ? [] : [guardPolicy]),
    ...Array.from(manual, ([name, page]) => text(`${share}/man/man1/${name}.1`, page)),
  ];
}
