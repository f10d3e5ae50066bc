/**
 * Examples of each command, by its first spelling: what one wants, and the line that does it. Loaded by --help and for the
 * manual only. A test reads every line as berth would.
 */

/** Pairs of a purpose and a command line. */
export type Examples = readonly (readonly [purpose: string, line: string])[];

const containers: Readonly<Record<string, Examples>> = {
  run: [
    ["Run one command, and leave nothing behind", "berth run --rm busybox echo hello"],
    ["A shell at this terminal", "berth run --rm -it busybox sh"],
    [
      "A service in the background, reached at port 8080 of this host",
      "berth run -d --name web -p 8080:80 busybox httpd -f -h /www",
    ],
    [
      "With a directory of this host, read-only, and half a processor",
      "berth run --rm -v /srv/site:/www:ro --cpus 0.5 -m 256m busybox ls /www",
    ],
  ],
  create: [
    [
      "Everything but the start",
      "berth create --name job -v results:/out busybox sh -c 'date > /out/when'",
    ],
  ],
  start: [
    ["In the background", "berth start web"],
    ["With its output here, and its exit status", "berth start -a job"],
  ],
  stop: [
    ["Ask, and after ten seconds insist", "berth stop web"],
    ["Give it a minute", "berth stop -t 60 web db"],
  ],
  restart: [["Stop and start again", "berth restart web"]],
  kill: [
    ["At once", "berth kill web"],
    ["Another signal, such as to read its configuration again", "berth kill -s HUP web"],
  ],
  pause: [["Freeze all processes", "berth pause web"]],
  unpause: [["Let them go on", "berth unpause web"]],
  wait: [["The exit status, once it has one", "berth wait job"]],
  rm: [
    ["One that has ended, with its anonymous volumes", "berth rm -v job"],
    ["One that runs", "berth rm -f web"],
  ],
  ps: [
    ["What runs", "berth ps"],
    ["All of them, by some fields", "berth ps -a --format 'table {{.Names}}\\t{{.Status}}'"],
    ["Ids of those that failed", "berth ps -aq --filter status=exited --filter exited=1"],
  ],
  logs: [
    ["The last lines, and what comes", "berth logs -f -n 20 web"],
    ["Of the last ten minutes, with times", "berth logs -t --since 10m web"],
  ],
  exec: [
    ["A shell in a container that runs", "berth exec -it web sh"],
    ["As another user, elsewhere", "berth exec -u nobody -w /tmp web id"],
  ],
  attach: [["What it writes from now on; ctrl-p ctrl-q leaves", "berth attach web"]],
  rename: [["Another name", "berth rename web web-old"]],
  port: [["Where its port 80 is reached", "berth port web 80/tcp"]],
  top: [["The processes of one", "berth top web"]],
  stats: [
    ["Live, all that run", "berth stats"],
    ["One sample, for a script", "berth stats --no-stream --format '{{.Name}} {{.MemUsage}}' web"],
  ],
  diff: [["Added (A), changed (C) and deleted (D) files", "berth diff web"]],
  commit: [
    ["An image from what has become of a container", "berth commit -m 'with data' web shop/web:2"],
  ],
  export: [["Its whole file system as an archive", "berth export -o web.tar web"]],
  cp: [
    ["A file out", "berth cp web:/etc/passwd ./passwd"],
    ["A directory in, with its owners", "berth cp -a ./site/. web:/www"],
  ],
  update: [["Limits of a container that runs", "berth update --memory 512m --cpus 1.5 web"]],
  "container prune": [
    ["Those that ended a day ago", "berth container prune -f --filter until=24h"],
  ],
  inspect: [
    ["Everything about it", "berth inspect web"],
    ["One field", "berth inspect -f '{{.State.Status}}' web"],
  ],
};

const images: Readonly<Record<string, Examples>> = {
  images: [
    ["What there is", "berth images"],
    ["Names and sizes alone", "berth images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"],
  ],
  build: [
    ["From ./Dockerfile", "berth build -t shop/web:1 ."],
    [
      "One stage, with arguments, from another file",
      "berth build -f web.Dockerfile --target test --build-arg VERSION=3 .",
    ],
  ],
  rmi: [["A name; the image too, when it was the last", "berth rmi shop/web:1"]],
  save: [["Several images in one archive", "berth save -o images.tar shop/web:1 busybox"]],
  load: [["What save has written", "berth load -i images.tar"]],
  "image inspect": [["Its command", "berth image inspect -f '{{json .Config.Cmd}}' busybox"]],
  "image prune": [["All that no container uses", "berth image prune -a -f"]],
  tag: [["Another name, for a registry", "berth tag shop/web:1 registry.example:5000/shop/web:1"]],
  import: [["A file system as an image", "berth import -c 'CMD [\"sh\"]' rootfs.tar own/base:1"]],
  pull: [
    ["By its digest or tag", "berth pull registry.example:5000/shop/web:1"],
    ["With its signatures and SBOMs", "berth pull --referrers registry.example:5000/shop/web:1"],
  ],
  push: [["To the registry in its name", "berth push registry.example:5000/shop/web:1"]],
  login: [
    [
      "With a password that no list of processes shows",
      "berth login -u me --password-stdin registry.example:5000",
    ],
  ],
  logout: [["Forget it", "berth logout registry.example:5000"]],
  search: [["At Docker Hub", "berth search --limit 5 nginx"]],
  history: [["What made its layers", "berth history --no-trunc shop/web:1"]],
  compose: [
    ["Start what compose.yaml in this directory says", "berth compose up -d"],
    ["With the files and words of docker's plugin", "berth compose -f stack.yaml logs -f web"],
  ],
  "buildx inspect": [["What the daemon's builder can build for", "berth buildx inspect"]],
  "buildx ls": [["The daemon's builder", "berth buildx ls"]],
  "buildx use": [["The one there is", "berth buildx use default"]],
  "buildx version": [["Whose builder it is", "berth buildx version"]],
  "manifest annotate": [
    [
      "What the image does not say itself",
      "berth manifest annotate --variant v7 me/app:1.0 me/app:arm",
    ],
  ],
  "manifest create": [
    [
      "Images of two processors under one name",
      "berth manifest create me/app:1.0 me/app:amd64 me/app:arm",
    ],
  ],
  "manifest push": [
    ["To the registry, and forget it here", "berth manifest push --purge me/app:1.0"],
  ],
  "manifest rm": [["Forget one that was not pushed", "berth manifest rm me/app:1.0"]],
  "image verify": [
    ["By the key that it is signed with", "berth image verify --key cosign.pub busybox:latest"],
    [
      "As the daemon judges it",
      "berth image verify --policy /etc/berth/policy.json busybox:latest",
    ],
  ],
  "manifest inspect": [["Of an image in a registry", "berth manifest inspect busybox:latest"]],
  "builder du": [["Which steps take room", "berth builder du"]],
  "builder prune": [["What was not used for a week", "berth builder prune -f --filter until=168h"]],
  "builder export": [["A cache mount, for another host", "berth builder export -o npm.tar npm"]],
  "builder import": [["The same, there", "berth builder import npm npm.tar"]],
};

const others: Readonly<Record<string, Examples>> = {
  "volume create": [
    ["A named directory", "berth volume create data"],
    [
      "A file system of a server",
      "berth volume create --opt type=nfs --opt o=addr=10.0.0.5 --opt device=:/exports/data shared",
    ],
  ],
  "volume inspect": [["Where it is", "berth volume inspect -f '{{.Mountpoint}}' data"]],
  "volume ls": [["Those that no container uses", "berth volume ls -f dangling=true"]],
  "volume rm": [["With what it holds", "berth volume rm data"]],
  "volume update": [
    ["Only for cluster volumes, which berth has none of", "berth volume update data"],
  ],
  "volume export": [["As an archive, while it is used", "berth volume export -o data.tar data"]],
  "volume import": [["From such an archive", "berth volume import data data.tar"]],
  "volume cp": [["One file out of it", "berth volume cp data:/db.conf ."]],
  "volume snapshot": [["Before something dangerous", "berth volume snapshot data data-before"]],
  "volume clone": [["A copy to work on", "berth volume clone data data-test"]],
  "volume prune": [["All that no container uses", "berth volume prune -a -f"]],
  "network create": [
    ["A bridge", "berth network create shop"],
    [
      "With a subnet, and without a way out",
      "berth network create --internal --subnet 10.20.0.0/24 inside",
    ],
  ],
  "network inspect": [
    ["Who is on it", "berth network inspect -f '{{range .Containers}}{{.Name}} {{end}}' shop"],
  ],
  "plugin ls": [["Plugins that docker's format knows; berth has none of them", "berth plugin ls"]],
  "plugin inspect": [["One of them", "berth plugin inspect example/driver:latest"]],
  "plugin enable": [["One of them", "berth plugin enable example/driver:latest"]],
  "plugin disable": [["One of them", "berth plugin disable example/driver:latest"]],
  "plugin rm": [["One of them", "berth plugin rm example/driver:latest"]],
  "network ls": [["What there is", "berth network ls"]],
  "network rm": [["One that nobody is on", "berth network rm shop"]],
  "network connect": [
    ["One more network for a container", "berth network connect --alias db shop postgres"],
  ],
  "network disconnect": [["Off it again", "berth network disconnect shop postgres"]],
  "network prune": [["Those that nobody is on", "berth network prune -f"]],
  "registry serve": [["With a configuration", "berth registry serve config.yml"]],
  "registry garbage-collect": [
    ["What it would delete", "berth registry garbage-collect --dry-run"],
  ],
  "context create": [
    ["A host behind ssh", "berth context create far --docker host=ssh://me@server"],
  ],
  "context export": [["For another user", "berth context export far far.dockercontext"]],
  "context import": [["From that file", "berth context import far far.dockercontext"]],
  "context inspect": [["Of the one in use", "berth context inspect"]],
  "context ls": [["All", "berth context ls"]],
  "context rm": [["Forget one", "berth context rm far"]],
  "context show": [["Which is in use", "berth context show"]],
  "context update": [["Another address", "berth context update far --docker host=ssh://me@other"]],
  "context use": [["From now on", "berth context use far"]],
  version: [["Of both sides, for a script", "berth version -f '{{.Server.Version}}'"]],
  info: [["The storage driver in use", "berth info -f '{{.Driver}}'"]],
  events: [["What happens to containers", "berth events --filter type=container"]],
  "system df": [["Object by object", "berth system df -v"]],
  "system prune": [["With unused images and volumes", "berth system prune -a --volumes -f"]],
  "system migrate": [["While no daemon runs", "berth system migrate --to erofs"]],
  "system check": [["And repair what can be", "berth system check --repair"]],
  "machine create": [
    [
      "A host that ssh reaches as root",
      "berth machine create --generic-ip-address 192.0.2.7 server",
    ],
    [
      "As a user who has sudo without a password, with a key of its own",
      "berth machine create --generic-ip-address 192.0.2.7 --generic-ssh-user me --generic-ssh-key ~/.ssh/server server",
    ],
  ],
  "machine active": [["Which one commands reach", "berth machine active"]],
  "machine env": [
    ["What this shell must eval", "berth machine env server"],
    ["And back to this host", "berth machine env -u"],
  ],
  "machine inspect": [["Who logs in", "berth machine inspect -f {{.Driver.SSHUser}} server"]],
  "machine ip": [["Its address", "berth machine ip server"]],
  "machine kill": [["Refused, with what to do instead", "berth machine kill server"]],
  "machine ls": [
    ["All, with whether they can be reached", "berth machine ls"],
    ["Names of those that can", "berth machine ls -q --filter state=running"],
  ],
  "machine restart": [["Refused, with what to do instead", "berth machine restart server"]],
  "machine rm": [
    ["Take berth away there, and forget the machine", "berth machine rm server"],
    ["Forget one that is gone", "berth machine rm -f server"],
  ],
  "machine ssh": [
    ["A shell there", "berth machine ssh server"],
    ["One command", "berth machine ssh server uptime"],
  ],
  "machine start": [["Refused, with what to do instead", "berth machine start server"]],
  "machine status": [["Whether it can be reached", "berth machine status server"]],
  "machine stop": [["Refused, with what to do instead", "berth machine stop server"]],
  "machine upgrade": [["To the version of this executable", "berth machine upgrade server"]],
  "machine url": [["For DOCKER_HOST", "berth machine url server"]],
  "system install": [
    ["On this host", "berth system install"],
    ["With a daemon that is not root", "berth system install --user berth"],
    ["What that would do", "berth system install --dry-run"],
    ["Into a package's directory", "berth system install --prefix /usr --destdir /tmp/package"],
  ],
  "system uninstall": [["From where it was put", "berth system uninstall --prefix /usr/local"]],
  completion: [["For every bash of this user", "berth completion bash"]],
  doctor: [["What this host lacks", "berth doctor"]],
};

const all: Readonly<Record<string, Examples>> = { ...containers, ...images, ...others };

/** The examples of a command, by its first spelling. */
export function examplesOf(path: string): Examples {
  return Object.hasOwn(all, path) ? (all[path] ?? []) : [];
}

/** The spellings that have examples. */
export const examplePaths: readonly string[] = Object.keys(all);
