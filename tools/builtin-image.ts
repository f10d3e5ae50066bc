/**
 * The image that is built into the executable: an OCI archive around Debian's static busybox, the same bytes each time
 * for the same busybox.
 */
import { statSync } from "node:fs";

interface Entry {
  readonly path: string;
  readonly type: "file" | "directory" | "hardlink";
  readonly mode: number;
  readonly data?: Uint8Array;
  readonly target?: string;
}

const BLOCK = 512;
const encoder = new TextEncoder();

/** One ustar header (POSIX.1-1988), owner root. */
function header(entry: Entry, mtime: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (at: number, width: number, value: number) =>
    put(at, value.toString(8).padStart(width - 1, "0"));
  put(0, entry.path);
  octal(100, 8, entry.mode);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, entry.data?.length ?? 0);
  octal(136, 12, mtime);
  put(148, "        ");
  put(156, { file: "0", directory: "5", hardlink: "1" }[entry.type]);
  put(157, entry.target ?? "");
  put(257, "ustar\u000000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\u0000 `);
  return block;
}

function tar(entries: readonly Entry[], mtime: number): Uint8Array {
  const chunks = entries.flatMap((entry) => {
    const data = entry.data ?? new Uint8Array(0);
    const padding = new Uint8Array((BLOCK - (data.length % BLOCK)) % BLOCK);
    return [header(entry, mtime), data, padding];
  });
  return Buffer.concat([...chunks, new Uint8Array(2 * BLOCK)]);
}

const directory = (path: string, mode = 0o755): Entry => ({ path, type: "directory", mode });
const textFile = (path: string, text: string, mode = 0o644): Entry => ({
  path,
  type: "file",
  mode,
  data: encoder.encode(text),
});

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`;

const group = `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
wheel:x:10:root
mail:x:8:
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
`;

function rootFileSystem(busybox: Uint8Array): Entry[] {
  const listed = Bun.spawnSync(["/bin/busybox", "--list"]);
  const applets = listed.stdout.toString().trim().split("\n").sort();
  const links = applets
    .filter((name) => name !== "busybox")
    .map(
      (name): Entry => ({
        path: `bin/${name}`,
        type: "hardlink",
        mode: 0o755,
        target: "bin/busybox",
      }),
    );
  return [
    directory("bin/"),
    { path: "bin/busybox", type: "file", mode: 0o755, data: busybox },
    ...links,
    directory("dev/"),
    directory("etc/"),
    textFile("etc/group", group),
    textFile("etc/passwd", passwd),
    textFile("etc/shadow", "root:*:10933:0:99999:7:::\n", 0o640),
    directory("home/"),
    directory("root/", 0o700),
    directory("tmp/", 0o1777),
    directory("usr/"),
    directory("usr/sbin/"),
    directory("var/"),
    directory("var/spool/"),
    directory("var/spool/mail/"),
    directory("var/www/"),
  ];
}

function digest(data: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(data).digest("hex");
}

/** The OCI image layout (image-spec, image-layout.md) as a tar, with the one image busybox:latest. */
export function builtinImage(busybox: Uint8Array): Uint8Array {
  const built = statSync("/bin/busybox").mtime;
  const mtime = Math.floor(built.getTime() / 1000);
  const layer = tar(rootFileSystem(busybox), mtime);
  const created = new Date(mtime * 1000).toISOString().replace(".000", "");
  const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as string] ?? process.arch;
  const json = (value: unknown) => encoder.encode(JSON.stringify(value));
  const config = json({
    created,
    architecture,
    os: "linux",
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      Cmd: ["sh"],
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${digest(layer)}`] },
    history: [{ created, created_by: "busybox-static as Debian builds it", comment: "berth" }],
  });
  const descriptor = (mediaType: string, data: Uint8Array) => ({
    mediaType,
    digest: `sha256:${digest(data)}`,
    size: data.length,
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const index = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
        platform: { architecture, os: "linux" },
        annotations: {
          "io.containerd.image.name": "docker.io/library/busybox:latest",
          "org.opencontainers.image.ref.name": "latest",
        },
      },
    ],
  });
  const blob = (data: Uint8Array): Entry => ({
    path: `blobs/sha256/${digest(data)}`,
    type: "file",
    mode: 0o644,
    data,
  });
  const files = [
    textFile("oci-layout", '{"imageLayoutVersion":"1.0.0"}'),
    { path: "index.json", type: "file", mode: 0o644, data: index } as const,
    directory("blobs/"),
    directory("blobs/sha256/"),
    ...[manifest, config, layer].map(blob),
  ];
  return tar(files, mtime);
}
