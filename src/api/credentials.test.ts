/** Credentials for several registries in one header. */
import { expect, test } from "bun:test";
import { credentialsByHost } from "./credentials.ts";

const header = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test("each registry gets its own and no other's; the Hub's stand under its address", () => {
  const of = credentialsByHost(
    header({
      "registry.example": { username: "ann", password: "secret" },
      "https://index.docker.io/v1/": { auth: Buffer.from("bob:other").toString("base64") },
      "odd.example": "no object",
    }),
  );
  expect(of("registry.example")).toMatchObject({ username: "ann", password: "secret" });
  expect(of("docker.io")).toMatchObject({ username: "bob", password: "other" });
  for (const domain of ["else.example", "odd.example", "example", "__proto__", "toString"])
    expect(of(domain)).toMatchObject({ username: "", password: "", identityToken: "" });
});

test("no header is nobody; a header that cannot be read is refused, without its content", () => {
  expect(credentialsByHost(undefined)("registry.example")).toMatchObject({ username: "" });
  for (const bad of ["%%%", header("text"), header(null), Buffer.from("{").toString("base64url")])
    expect(() => credentialsByHost(bad)).toThrow("invalid X-Registry-Config header: it is no");
});
