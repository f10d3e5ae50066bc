/**
 * Packages of what is built: `tools/package.ts deb|npm DIRECTORY [--fast]` writes one there and prints its path.
 * --fast: it is not compressed.
 */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import about from "../package.json" with { type: "json" };

const root = join(import.meta.dir, "..");
const executable = join(root, "dist/berth");

function run(argv: readonly string[], cwd = root): string {
  const done = Bun.spawnSync([...argv], { cwd, stdout: "pipe", stderr: "inherit" });
  if (done.exitCode !== 0) throw new Error(`${argv.join(" ")} failed`);
  return done.stdout.toString();
}

function withScratch<T>(work: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "berth-package-"));
  try {
    return work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const control = (architecture: string) => `Package: berth
Version: ${about.version}
Architecture: ${architecture}
Maintainer: The berth project <berth@localhost>
Section: admin
Priority: optional
Depends: libc6 (>= 2.31)
Recommends: ca-certificates, xz-utils, bzip2
Description: ${about.description}
 Takes Docker's command lines and serves the Docker Engine API.
`;

/** What dpkg runs. Containers go on through all of it: an upgrade restarts the daemon alone. */
const scripts: Readonly<Record<string, string>> = {
  postinst: `#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
grep -q ^berth: /etc/group || groupadd --system berth 2>/dev/null || addgroup -S berth
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  [ -n "$2" ] || systemctl enable berth.socket berth.service
  systemctl restart berth.socket berth.service
fi
`,
  prerm: `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now berth.service berth.socket
fi
`,
  postrm: `#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
[ "$1" = purge ] && grep -q ^berth: /etc/group || exit 0
groupdel berth 2>/dev/null || delgroup berth
`,
};

function makeDeb(target: string, fast: boolean): string {
  return withScratch((directory) => {
    const architecture = process.arch === "arm64" ? "arm64" : "amd64";
    run([executable, "system", "install", "--prefix", "/usr", "--destdir", directory]);
    // dpkg keeps the list.
    rmSync(`${directory}/usr/share/berth`, { recursive: true });
    mkdirSync(`${directory}/DEBIAN`);
    writeFileSync(`${directory}/DEBIAN/control`, control(architecture));
    for (const [name, text] of Object.entries(scripts)) {
      writeFileSync(`${directory}/DEBIAN/${name}`, text);
      chmodSync(`${directory}/DEBIAN/${name}`, 0o755);
    }
    chmodSync(directory, 0o755);
    const path = join(target, `berth_${about.version}_${architecture}.deb`);
    run(["dpkg-deb", "--root-owner-group", fast ? "-Znone" : "-Zxz", "--build", directory, path]);
    return path;
  });
}

function makeNpm(target: string, fast: boolean): string {
  return withScratch((directory) => {
    mkdirSync(`${directory}/bin`);
    copyFileSync(executable, `${directory}/bin/berth`);
    chmodSync(`${directory}/bin/berth`, 0o755);
    copyFileSync(join(root, "README.md"), `${directory}/README.md`);
    const { name, version, description, license } = about;
    const manifest = {
      ...{ name, version, description, license },
      ...{ os: ["linux"], cpu: [process.arch], libc: ["glibc"], bin: { berth: "bin/berth" } },
    };
    writeFileSync(`${directory}/package.json`, JSON.stringify(manifest, null, 2));
    run(
      [process.execPath, "pm", "pack", "--gzip-level", fast ? "0" : "9", "--destination", target],
      directory,
    );
    return join(target, `${name}-${version}.tgz`);
  });
}

const [kind, where, speed] = process.argv.slice(2);
if (where === undefined || (kind !== "deb" && kind !== "npm")) {
  console.error("Usage: tools/package.ts deb|npm DIRECTORY [--fast]");
  process.exit(2);
}
const target = resolve(where);
mkdirSync(target, { recursive: true });
console.log((kind === "deb" ? makeDeb : makeNpm)(target, speed === "--fast"));
