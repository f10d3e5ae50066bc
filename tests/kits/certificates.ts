/**
 * An authority with certificates for a server and a client, made by openssl, and a port to serve TLS on.
 */
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";

/** A port of 127.0.0.1 that is free at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Writes ca, server, client and stranger (of nobody's authority) as NAME.pem and NAME-key.pem into a directory. */
export function makeCertificates(home: string): void {
  const openssl = (...args: string[]) => {
    const done = Bun.spawnSync(["openssl", ...args], { cwd: home, stderr: "pipe" });
    if (done.exitCode !== 0) throw new Error(done.stderr.toString());
  };
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split(" ");
  for (const name of ["ca", "stranger"])
    openssl(
      ...["req", "-x509", ...key, "-days", "2", "-subj", `/CN=${name}`],
      ...["-keyout", `${name}-key.pem`, "-out", `${name}.pem`],
    );
  writeFileSync(`${home}/ext`, "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  for (const name of ["server", "client"]) {
    openssl("req", ...key, "-subj", `/CN=${name}`, "-keyout", `${name}-key.pem`, "-out", "csr");
    openssl(
      ...["x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-days", "2"],
      ...["-CAcreateserial", "-extfile", "ext", "-out", `${name}.pem`],
    );
  }
}
