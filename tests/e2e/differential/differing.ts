/** Lines of the two tables in which berth differs from docker, by the reason. A line that has come to agree must leave. */

const reasons: readonly (readonly [reason: string, lines: readonly string[]])[] = [
  [
    "berth's own text: its help, its version, and what it has beyond docker's commands.",
    [
      "container",
      "image",
      "network",
      "volume",
      "version --format json",
      "info --format '{{.ClientInfo}}'",
      "system df -v",
      "info",
      "system",
      "context",
      "--version x",
      "manifest",
      "plugin",
      "swarm",
      "node",
      "trust",
      ...["service", "stack", "secret", "config"],
    ],
  ],
  [
    "files, modes and addresses for a swarm are not looked at: there is none, and that is what is said.",
    [
      "swarm init --listen-addr odd:odd:odd",
      "swarm init --default-addr-pool x",
      "swarm init --external-ca x",
      "swarm ca --ca-cert /nope --rotate",
      "swarm update",
      "service create --mode odd busybox",
      "service scale x",
      "service scale x=y",
      "stack config -c /nope",
      "stack deploy -c /dev/null x",
      "stack deploy -c /nope x",
      "secret create x",
      "secret create x /nope",
      "secret create x /dev/null",
      "config create x /nope",
      "config create x /dev/null",
    ],
  ],
  [
    'docker 28.2 writes "SRun", a slip.',
    ["images a b", "volume create a b", "login a b", "logout a b"],
  ],
  [
    "docker without its buildx plugin says that its builder is deprecated; berth's is not.",
    ["build", "build a b", "build /nope", "build -f /nope/x /tmp", "build --nope ."],
  ],
  [
    'docker 28.2 ends with a line "exit status 1", a slip.',
    ["network rm nope", "network rm bridge", "network rm host none", "network rm @network nope"],
  ],
  ["docker doubles the slash of the root directory.", ["cp /nope made:/", "cp /nope nope:/"]],
  [
    "docker does not say why the daemon refuses to attach.",
    [
      "run --rm --detach-keys odd, busybox true",
      "attach --detach-keys odd, runs",
      "start --detach-keys odd, -a @exited",
      "attach --detach-keys a,b,ctrl-1 runs",
    ],
  ],
];

/** Why a line differs. */
export const differing: Readonly<Record<string, string>> = Object.fromEntries(
  reasons.flatMap(([reason, lines]) => lines.map((line) => [line, reason] as const)),
);
