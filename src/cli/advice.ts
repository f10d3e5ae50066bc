/**
 * What to do about a failure whose words do not say it: docker's words stay as they are, and a person at a terminal reads this
 * below them. Pure.
 */

type Advice = readonly [pattern: RegExp, say: (...groups: string[]) => string];

/** The first that fits counts. Groups are what the message names. */
const advices: readonly Advice[] = [
  [
    /failed to bind host port for \S*?:(\d+):\S*: address already in use|Bind for \S*?:(\d+) failed: port is already allocated/,
    (port, other) =>
      `Who has it: berth ps --filter publish=${port || other}, or ss -lptn 'sport = :${port || other}'. Or publish another: -p ANOTHER:PORT.`,
  ],
  [/cannot attach to a stopped container/, () => "Start it attached: berth start -ai CONTAINER"],
  [
    /^(?!.*cannot kill).*container ([0-9a-f]{12})[0-9a-f]* is not running/,
    (id) => `Why it has ended: berth logs ${id}. Start it: berth start ${id}`,
  ],
  [
    /volume is in use - \[([0-9a-f]{12})/,
    (id) => `The container ${id} has it: remove that first (berth rm ${id}).`,
  ],
  [
    /network (\S+) has active endpoints \(name:"([^"]+)"/,
    (network, name) => `Take its containers off first: berth network disconnect ${network} ${name}`,
  ],
  [
    /container ([0-9a-f]{12}) is using its referenced image/,
    (id) => `Remove the container first (berth rm ${id}), or only the name with -f.`,
  ],
  [
    /cannot remove container "\/([^"]+)": container is (?:running|paused)/,
    (name) => `Both at once: berth rm -f ${name}`,
  ],
  [
    /exec: "([^"]+)": executable file not found/,
    (program) =>
      `The image has no ${program}. What it has: berth run --rm --entrypoint ls IMAGE /bin /usr/bin`,
  ],
  [
    /(?:stat|exec) "?(\/[^":]+)"?: no such file or directory/,
    (path) =>
      `Either ${path} is not in the image, or what it needs to run (an interpreter, a library) is not.`,
  ],
  [
    /the input device is not a TTY/,
    () => "Leave -t away where input comes from a pipe or a file: -i alone.",
  ],
  [
    /bind source path does not exist: (\S+)/,
    (path) => `Make it first (mkdir -p ${path}), or let it be made: -v ${path}:PLACE`,
  ],
  [/invalid mode: (\S+)/, () => "Modes of -v: ro, rw, z, Z, nocopy, rshared, rslave, rprivate."],
  [
    /network (\S+) not found/,
    (name) => `Networks: berth network ls. Make it: berth network create ${name}`,
  ],
  [
    /user specified IP address is supported on user defined networks only/,
    () =>
      "Make a network first: berth network create --subnet 10.89.0.0/24 NAME, then --network NAME --ip 10.89.0.5",
  ],
  [
    /unable to find user (\S+): no matching entries in passwd file/,
    (user) =>
      `The image's /etc/passwd has no ${user}: name one that it has, or a number (-u 1000:1000).`,
  ],
  [
    /unknown or invalid runtime name/,
    () =>
      "Runtimes: berth info --format '{{json .Runtimes}}'. Others are added in daemon.json (runtimes).",
  ],
  [
    /Could not find the file \S+ in container (\S+)/,
    (name) =>
      `What there is: berth exec ${name} ls -la PATH, or berth cp ${name}:DIRECTORY - | tar t`,
  ],
  [/output path: directory "([^"]+)" does not exist/, (path) => `Make it first: mkdir -p ${path}`],
  [
    /(?:is not connected to network|endpoint with name \S+ already exists in network) (\S+)/,
    (network) => `Who is on it: berth network inspect ${network}`,
  ],
  [
    /plugin "([^"]+)" not found$/,
    () =>
      'berth has the driver "local", and those whose socket lies in /run/docker/plugins (a rootless daemon: $XDG_RUNTIME_DIR/docker/plugins).',
  ],
  [
    /this is no tar archive/,
    () => "load takes what save has written; import takes a tar archive of a file system.",
  ],
  [
    /:\/\/([^/"]+)\/v2\/.*connection refused/,
    (host) => `Nobody listens at ${host}: is the registry started, and is that its port?`,
  ],
  [
    /getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)/,
    (host) =>
      `This host cannot find ${host}: is there a network and a name server (/etc/resolv.conf), or is a proxy needed (the daemon's --https-proxy)?`,
  ],
  [
    /server gave HTTP response to HTTPS client/,
    () => "A registry without TLS has to be named to the daemon: --insecure-registry HOST:PORT",
  ],
  [
    /certificate signed by unknown authority/,
    () => "Put the registry's authority into /etc/berth/certs.d/HOST:PORT/ca.crt",
  ],
  [
    /no basic auth credentials|authentication required|push access denied|unauthorized/i,
    () => "Log in first: berth login HOST (nothing for Docker Hub)",
  ],
  [
    /An image does not exist locally with the tag: (\S+)/,
    (name) => `Make it: berth tag IMAGE ${name}`,
  ],
  [
    /no space left on device/i,
    () => "What takes room: berth system df -v. Take it back: berth system prune.",
  ],
  [
    /unable to prepare context: path "[^"]*" not found|cannot locate Dockerfile|Dockerfile path: lstat|open Dockerfile: no such/,
    () => "The last argument is the directory with the files; -f names the Dockerfile in it.",
  ],
  [/No public port '[^']*' published for (\S+)/, (name) => `What is: berth port ${name}`],
  [/No such container: \S+/, () => "Containers: berth ps -a"],
  [/No such image: \S+/, () => "Images: berth images. From a registry: berth pull NAME"],
  [/no such volume/i, () => "Volumes: berth volume ls"],
  [/context "[^"]*": context not found/, () => "Contexts: berth context ls"],
  [
    /failed to parse value as time or duration/,
    () => "Times: 2026-11-26T10:00:00, seconds since 1970, or how long ago: 10m, 2h30m.",
  ],
  [
    /^template parsing error|^failed to execute template/,
    () => "What a template can ask for: the same command with --format json.",
  ],
];

/** What helps; "" when nothing is known. */
export function adviceFor(message: string): string {
  for (const [pattern, say] of advices) {
    const found = pattern.exec(message);
    if (found !== null) return `${say(...found.slice(1).map((group) => group ?? ""))}\n`;
  }
  return "";
}
