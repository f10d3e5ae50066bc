/** X-Registry-Auth, as clients send it and as nobody should. */
import { expect, test } from "bun:test";
import { checkAll, damaged, damagedJson, valueOrFault } from "../../tests/kits/fuzz.ts";
import { credentialsOf, credentialsOrNobody } from "./credentials.ts";

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value) ?? "").toString("base64url");
const nobody = { username: "", password: "", identityToken: "" };

test("what clients send", () => {
  expect(credentialsOf(undefined)).toEqual(nobody);
  expect(credentialsOf("")).toEqual(nobody);
  const ann = { username: "ann", password: "open:sesame", serveraddress: "r.io" };
  expect(credentialsOf(encoded(ann))).toMatchObject({ username: "ann", password: "open:sesame" });
  // Padded, and in the usual alphabet, too.
  expect(credentialsOf(Buffer.from(JSON.stringify(ann)).toString("base64"))).toMatchObject({
    username: "ann",
  });
  expect(credentialsOf(encoded({ auth: btoa("ann:open:sesame") }))).toMatchObject({
    username: "ann",
    password: "open:sesame",
  });
  expect(credentialsOf(encoded({ identitytoken: "t" }))).toMatchObject({ identityToken: "t" });
  expect(credentialsOf(encoded({ registrytoken: "t" }))).toMatchObject({ registryToken: "t" });
  expect(() => credentialsOf("!")).toThrow("invalid X-Registry-Auth header");
  expect(credentialsOrNobody("!")).toEqual(nobody);
});

test("whatever is sent, it is somebody, nobody or a Fault that repeats none of it", async () => {
  const corpus = [
    { username: "ann", password: "opensesame", auth: btoa("ann:x"), identitytoken: "t" },
  ];
  await checkAll(damagedJson(corpus), async (value) => {
    const found = await valueOrFault(() => credentialsOf(encoded(value)));
    for (const field of Object.values(found ?? {})) expect(typeof field).toBe("string");
  });
  await checkAll(damaged([encoded(corpus[0])]), async (bytes) => {
    const text = Buffer.from(bytes).toString("latin1");
    const found = await valueOrFault(() => credentialsOf(text));
    for (const field of Object.values(found ?? {})) expect(typeof field).toBe("string");
  });
});
