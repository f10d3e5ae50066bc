/**
 * What may stand behind a flag. Values that are the same wherever the flag stands, and those that its command decides: keys of
 * filters, drivers, types.
 */
import type { Wanted } from "./completion.ts";

type NameKinds = Extract<Wanted, { readonly kind: "names" }>["of"];

const FILES: Wanted = { kind: "files" };
const names = (...of: NameKinds): Wanted => ({ kind: "names", of });
const words = (...list: string[]): Wanted => ({ kind: "words", words: list });

const signals = words("SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2");
const ages = ["label=", "label!=", "until="];

const everywhere: Readonly<Record<string, Wanted>> = {
  network: names("network"),
  net: names("network"),
  link: names("running"),
  "volumes-from": names("container"),
  "depends-on": names("container"),
  context: names("context"),
  from: names("context"),
  "config-from": names("network"),
  pull: words("always", "missing", "never"),
  restart: words("no", "always", "unless-stopped", "on-failure"),
  "log-driver": words("json-file", "local", "none", "syslog", "journald", "fluentd", "gelf"),
  cgroupns: words("host", "private"),
  ipc: words("none", "private", "shareable", "host", "container:"),
  pid: words("host", "container:"),
  uts: words("host"),
  userns: words("host", "auto"),
  "security-opt": words("no-new-privileges", "seccomp=", "apparmor=", "systempaths=unconfined"),
  "health-on-failure": words("none", "kill", "restart", "stop"),
  mount: words("type=bind,", "type=volume,", "type=tmpfs,", "type=image,"),
  gpus: words("all"),
  attach: words("stdin", "stdout", "stderr"),
  progress: words("auto", "plain", "tty", "rawjson", "quiet"),
  signal: signals,
  "stop-signal": signals,
  platform: words("linux/amd64", "linux/arm64"),
  "log-level": words("debug", "info", "warn", "error", "fatal"),
  "cap-add": words("ALL", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "NET_RAW"),
  "cap-drop": words("ALL", "CHOWN", "MKNOD", "NET_RAW", "SETUID", "SETGID", "SYS_CHROOT"),
  format: words("json", "table"),
  shell: words("bash", "zsh", "fish", "tcsh", "emacs"),
  ...Object.fromEntries(
    [
      ...["generic-ssh-key", "file", "input", "output", "env-file", "label-file", "cidfile"],
      ...["iidfile", "metadata-file", "tlscacert", "tlscert", "tlskey", "volume", "device"],
    ].map((name) => [name, FILES]),
  ),
  config: { kind: "directories" },
};

const ofContainers = words(
  ...["ancestor=", "before=", "exited=", "expose=", "id=", "is-task=", "label=", "name="],
  ...["network=", "publish=", "since=", "volume="],
  ...["created", "running", "paused", "restarting", "exited", "dead"].map((one) => `status=${one}`),
  ...["starting", "healthy", "unhealthy", "none"].map((one) => `health=${one}`),
);
const ofImages = words(
  ...["before=", "since=", "until=", "label=", "reference=", "dangling=true", "dangling=false"],
);

/** By the flag's name behind the command's. */
const byCommand: Readonly<Record<string, Wanted>> = {
  "ps filter": ofContainers,
  "container ls filter": ofContainers,
  "images filter": ofImages,
  "image ls filter": ofImages,
  "network ls filter": words(
    ...["driver=", "id=", "label=", "name=", "scope=local", "type=builtin", "type=custom"],
    ...["dangling=true", "dangling=false"],
  ),
  "volume ls filter": words("driver=", "label=", "name=", "dangling=true", "dangling=false"),
  "search filter": words("is-official=true", "is-official=false", "stars="),
  "events filter": words(
    ...["container=", "event=", "image=", "label=", "network=", "volume="],
    ...["container", "daemon", "image", "network", "volume"].map((one) => `type=${one}`),
  ),
  "container prune filter": words(...ages),
  "image prune filter": words(...ages),
  "network prune filter": words(...ages),
  "system prune filter": words(...ages),
  "volume prune filter": words("label=", "label!=", "all=true"),
  "builder prune filter": words("until="),
  "machine ls filter": words("name=", "state=Running", "state=Stopped", "driver=generic"),
  "network create driver": words("bridge", "macvlan", "ipvlan", "host", "null"),
  "volume create driver": words("local"),
  "machine create driver": words("generic"),
  "inspect type": words("container", "image", "network", "volume"),
};

/** What a flag of a command takes ("container ls", "filter"); undefined when nothing is known. */
export function valuesOf(path: string, flag: string): Wanted | undefined {
  const usual = path.replace(/^container (?:list|ps)$/, "container ls").replace(/ list$/, " ls");
  return byCommand[`${usual} ${flag}`] ?? everywhere[flag];
}
