/** Templates of --format: what docker's command line writes with the same daemon, byte by byte. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();

beforeAll(async () => {
  const create = ["create", "--name", "shown", "--label", "a.b-c=1", "-e", "K=v", "-p", "8080:80"];
  for (const words of [
    [...create, "-m", "64m", "busybox", "sh", "-c", "echo <&>"],
    ["network", "create", "--label", "n=1", "shown-net"],
    ["volume", "create", "--label", "v=1", "shown-volume"],
  ])
    expect((await daemon.berth(...words)).status).toBe(0);
});

async function agree(...words: string[]): Promise<string> {
  let [berth, docker] = [await daemon.berth(...words), await daemon.docker(...words)];
  // Between the two, something may have become a second older.
  for (let tries = 0; tries < 3 && berth.out !== docker.out; tries++)
    [berth, docker] = [await daemon.berth(...words), await daemon.docker(...words)];
  const same = ({ status, out, err }: typeof berth) => ({ words, status, out, err });
  expect(same(berth)).toEqual(same(docker));
  return berth.out + berth.err;
}

const ANY = [
  ...["{{", "{{.Nosuch}}", "{{nosuch}}", "{{.Nosuch | upper}}", "{{if true}}"],
  ...['a\\tb\\n{{printf "%5.1f|%-4d|%q|%x" 3.14159 7 "x" "hi"}}', "{{range 3}}{{.}}{{end}}"],
  ...['{{eq 1 "a"}}', "{{index nil 1}}", "{{len 3}}", "{{$x := 1}}{{$x}}", "{{- print 1 2 -}}"],
];

const lists: readonly (readonly [words: readonly string[], formats: readonly string[]])[] = [
  [
    ["ps", "-a"],
    [
      ...[
        "json",
        "{{json .}}",
        "table",
        "table {{.Names}}\\t{{.Image}}",
        'table {{.Label "a.b-c"}}',
      ],
      ...[
        "{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Labels}} {{.Mounts}}",
        "{{.Ports}}",
      ],
      ...[
        '{{.Label "a.b-c"}}{{.Label "no"}}',
        "{{.Names.Foo}}",
        "{{.Label}}",
        "{{.Label 1}}",
        "table{{.ID}}",
      ],
      ...[
        "{{upper .Names}} {{title .State}} {{truncate .ID 4}} {{pad .Names 2 2}}|",
        "table {{upper .Names}}",
      ],
      ...[
        '{{join (split .Names "o") "-"}}',
        '{{if eq .State "created"}}yes{{else}}no{{end}}',
        "{{json .Names}}",
      ],
      ...[
        "{{with .Names}}{{.}}{{end}}{{len .ID}}",
        '{{.Names | printf "%-8s|"}}',
        "{{.}}x{{.Nope}}",
      ],
    ],
  ],
  [
    ["images"],
    [
      "json",
      "table {{.Repository}}\\t{{.Tag}}",
      "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.Digest}}",
    ],
  ],
  [
    ["network", "ls"],
    ["json", "table {{.Name}}\\t{{.Driver}}", '{{.Name}} {{.Internal}} {{.IPv6}} {{.Label "n"}}'],
  ],
  [
    ["volume", "ls"],
    [
      "json",
      "table {{.Name}}\\t{{.Driver}}\\t{{.Size}}",
      '{{.Name}} {{.Label "v"}} {{.Mountpoint}}',
    ],
  ],
  [
    ["history", "busybox"],
    ["table {{.ID}}\\t{{.Size}}", "{{.ID}} {{.CreatedBy}} {{.Comment}}"],
  ],
];

for (const [words, formats] of lists)
  test(`${words.join(" ")} --format`, async () => {
    for (const format of [...formats, ...ANY]) await agree(...words, "--format", format);
  });

const objects: readonly (readonly [words: readonly string[], formats: readonly string[]])[] = [
  [
    ["inspect", "shown"],
    [
      ...[
        "{{.Name}}",
        "{{.HostConfig.Memory}} {{.State.Pid}} {{.State.ExitCode}}",
        "{{.Config.Env}}",
      ],
      ...[
        '{{join .Config.Cmd " "}}',
        '{{index .Config.Labels "a.b-c"}}|{{index .Config.Labels "no"}}|',
      ],
      ...[
        "{{json .Config.Cmd}}",
        "{{json .Config.Labels}}",
        "{{range .Config.Env}}{{println .}}{{end}}",
      ],
      ...[
        "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}",
        "{{if eq .State.ExitCode 0}}zero{{end}}",
      ],
      ...[
        '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}',
        "{{gt .HostConfig.Memory 1000}}",
      ],
      ...[
        "{{.State.Running}}{{.State.Status}}",
        '{{printf "%d %v" .HostConfig.Memory .State.OOMKilled}}',
      ],
      ...["{{len .Config.Env}} {{.Config.Image}}", "{{.HostConfig.NetworkMode}}"],
    ],
  ],
  [
    ["image", "inspect", "busybox"],
    ["{{.Os}}/{{.Architecture}}", "{{json .RepoTags}}", "{{.Size}}", "{{index .RepoTags 0}}"],
  ],
  [
    ["network", "inspect", "shown-net"],
    [
      "{{.Name}} {{.Driver}} {{.Internal}}",
      "{{json .Labels}}",
      "{{(index .IPAM.Config 0).Subnet}}",
    ],
  ],
  [
    ["volume", "inspect", "shown-volume"],
    ["{{.Name}} {{.Driver}}", "{{json .Labels}}", "{{.Mountpoint}}"],
  ],
  [
    ["info"],
    ["{{.ServerVersion}} {{.NCPU}} {{.MemTotal}} {{.Driver}}", "{{json .Plugins.Volume}}"],
  ],
  [["version"], ["{{.Server.Version}}", "{{.Server.APIVersion}}"]],
];

for (const [words, formats] of objects)
  test(`${words.join(" ")} --format`, async () => {
    for (const format of formats) await agree(...words, "--format", format);
  });

test("formats of the user's configuration", async () => {
  const directory = join(daemon.directory, "config");
  mkdirSync(directory);
  const formats = {
    psFormat: "ps {{.Names}}",
    imagesFormat: "table {{.Repository}}",
    networksFormat: "net {{.Name}}",
    volumesFormat: "vol {{.Name}}",
  };
  writeFileSync(join(directory, "config.json"), JSON.stringify(formats));
  const env = { DOCKER_CONFIG: directory };
  for (const words of [
    ...[["ps", "-a"], ["ps", "-aq"], ["images"], ["network", "ls"], ["volume", "ls"]],
    ["ps", "-a", "--format", "{{.ID}}"],
  ]) {
    const berth = await daemon.berthWith({ env }, ...words);
    const docker = await daemon.dockerWith({ env }, ...words);
    expect([words, berth.out, berth.err]).toEqual([words, docker.out, docker.err]);
  }
});
