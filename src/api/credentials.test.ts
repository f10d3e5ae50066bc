/** Credentials for one registry, and for several, as clients send them and as nobody should. */
import { expect, test } from "bun:test";
import { checkAll, damaged, damagedJson, valueOrFault } from "../../tests/kits/fuzz.ts";
import { credentialsByHost, credentialsOf, credentialsOrNobody } from "./credentials.ts";

const header = (value: unknown) => Buffer.from(JSON.stringify(value) ?? "").toString("base64url");

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

const nobody = { username: "", password: "", identityToken: "" };

test("what clients send", () => {
  expect(credentialsOf(undefined)).toEqual(nobody);
  expect(credentialsOf("")).toEqual(nobody);
  const ann = { username: "ann", password: "open:sesame", serveraddress: "r.io" };
  expect(credentialsOf(header(ann))).toMatchObject({ username: "ann", password: "open:sesame" });
  // Padded, and in the usual alphabet, too.
  expect(credentialsOf(Buffer.from(JSON.stringify(ann)).toString("base64"))).toMatchObject({
    username: "ann",
  });
  expect(credentialsOf(header({ auth: btoa("ann:open:sesame") }))).toMatchObject({
    username: "ann",
    password: "open:sesame",
  });
  expect(credentialsOf(header({ identitytoken: "t" }))).toMatchObject({ identityToken: "t" });
  expect(credentialsOf(header({ registrytoken: "t" }))).toMatchObject({ registryToken: "t" });
  expect(() => credentialsOf("!")).toThrow("invalid X-Registry-Auth header");
  expect(credentialsOrNobody("!")).toEqual(nobody);
});

test("whatever is sent, it is somebody, nobody or a Fault that repeats none of it", async () => {
  const corpus = [
    { username: "ann", password: "opensesame", auth: btoa("ann:x"), identitytoken: "t" },
  ];
  await checkAll(damagedJson(corpus), async (value) => {
    const found = await valueOrFault(() => credentialsOf(header(value)));
    for (const field of Object.values(found ?? {})) expect(typeof field).toBe("string");
  });
  await checkAll(damaged([header(corpus[0])]), async (bytes) => {
    const text = Buffer.from(bytes).toString("latin1");
    const all = await valueOrFault(() => credentialsByHost(text));
    for (const field of Object.values(all?.("username") ?? {})) expect(typeof field).toBe("string");
    const found = await valueOrFault(() => credentialsOf(text));
    for (const field of Object.values(found ?? {})) expect(typeof field).toBe("string");
  });
});
