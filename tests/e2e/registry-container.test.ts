/** A private registry as the books have it: in a container, its port published, its data on the host. */
import { expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { daemonOfFile } from "../kits/daemon.ts";
import { giveToDaemon, scratchDirectory } from "../kits/scratch.ts";

const daemon = daemonOfFile();
const PROGRAM = "/usr/bin/docker-registry";

/** The image, made of Debian's registry and the libraries that it needs. */
async function makeImage(directory: string): Promise<void> {
  const context = join(directory, "context");
  mkdirSync(join(context, "lib"), { recursive: true });
  cpSync(PROGRAM, join(context, "registry"));
  const needed = Bun.spawnSync(["ldd", PROGRAM]).stdout.toString();
  for (const [path] of needed.matchAll(/\/[^ ]+/g)) {
    mkdirSync(join(context, "lib", dirname(path)), { recursive: true });
    cpSync(path, join(context, "lib", path), { dereference: true });
  }
  writeFileSync(
    join(context, "Dockerfile"),
    `FROM busybox
COPY lib/ /
COPY registry /bin/
COPY <<EOF /etc/docker/registry/config.yml
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
EOF
VOLUME /var/lib/registry
EXPOSE 5000
ENTRYPOINT ["registry"]
CMD ["serve", "/etc/docker/registry/config.yml"]
`,
  );
  const built = await daemon.berth("build", "-q", "-t", "registry:2", context);
  expect([built.err, built.status]).toEqual(["", 0]);
}

/** Runs it; gives its address once it answers. */
async function serve(scheme: string, ...flags: string[]): Promise<string> {
  const args = ["run", "-d", "--name", "registry", "-p", "127.0.0.1::5000", ...flags, "registry:2"];
  const run = await daemon.docker(...args);
  expect([run.err, run.status]).toEqual(["", 0]);
  const address = (await daemon.docker("port", "registry", "5000")).out.trim();
  for (let tries = 0; tries < 500; tries++) {
    const answer = await fetch(`${scheme}://${address}/v2/`, {
      tls: { rejectUnauthorized: false },
    }).catch(() => undefined);
    if (answer !== undefined) return address;
    await Bun.sleep(20);
  }
  throw new Error((await daemon.docker("logs", "registry")).err);
}

test.skipIf(!existsSync(PROGRAM))(
  "a registry in a container: pushed to, pulled from, its data kept on the host; then with users and TLS",
  async () => {
    const directory = scratchDirectory("rc-");
    const data = ["-v", `${directory}/data:/var/lib/registry`];
    mkdirSync(`${directory}/data`);
    const config = { env: { DOCKER_CONFIG: `${directory}/docker` } };
    mkdirSync(`${directory}/docker`);
    try {
      await makeImage(directory);
      const open = await serve("http", ...data);
      await daemon.docker("pull", "busybox");
      await daemon.docker("tag", "busybox", `${open}/own/box:1`);
      const pushed = await daemon.docker("push", `${open}/own/box:1`);
      expect(pushed.out).toMatch(/^1: digest: sha256:[0-9a-f]{64} size: \d+$/m);
      expect((await daemon.berth("rmi", `${open}/own/box:1`)).status).toBe(0);
      expect((await daemon.berth("run", "--rm", `${open}/own/box:1`, "echo", "from it")).out).toBe(
        "from it\n",
      );
      expect(existsSync(`${directory}/data/docker/registry/v2/repositories/own/box`)).toBe(true);
      expect((await daemon.docker("rm", "-f", "-v", "registry")).status).toBe(0);

      const hash = await Bun.password.hash("hush", { algorithm: "bcrypt", cost: 4 });
      writeFileSync(`${directory}/users`, `ann:${hash}\n`);
      Bun.spawnSync(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"].concat(
          ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"],
          ["-keyout", `${directory}/key.pem`, "-out", `${directory}/cert.pem`],
        ),
      );
      giveToDaemon(`${directory}/key.pem`);
      writeFileSync(
        `${directory}/config.yml`,
        `version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000", tls: {certificate: /own/cert.pem, key: /own/key.pem}}
auth: {htpasswd: {realm: own, path: /own/users}}
`,
      );
      const closed = await serve(
        "https",
        ...data,
        ...["-v", `${directory}/config.yml:/etc/docker/registry/config.yml:ro`],
        ...["-v", `${directory}:/own:ro`],
      );
      const refused = await daemon.dockerWith(config, "pull", `${closed}/own/box:1`);
      expect([refused.status, refused.err]).toEqual([1, expect.stringMatching(/denied|required/)]);
      const login = await daemon.dockerWith(
        { ...config, stdin: "hush" },
        ...["login", "-u", "ann", "--password-stdin", closed],
      );
      expect(login.out).toContain("Login Succeeded");
      // What was pushed before is there still: it lies on the host.
      for (const client of ["docker", "berth"] as const) {
        const pulled = await (client === "docker"
          ? daemon.dockerWith(config, "pull", `${closed}/own/box:1`)
          : daemon.berthWith(config, "pull", `${closed}/own/box:1`));
        expect([client, pulled.status, pulled.err]).toEqual([client, 0, ""]);
        expect((await daemon.docker("rmi", `${closed}/own/box:1`)).status).toBe(0);
      }
    } finally {
      await daemon.docker("rm", "-f", "-v", "registry");
      rmSync(directory, { recursive: true });
    }
  },
);
