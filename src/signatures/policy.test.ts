/** Policies: what is refused when they are read, and which rule an image falls under. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { newSigner } from "../../tests/kits/signing.ts";
import { parseReference } from "../spec/reference.ts";
import { checkArchive, parsePolicy, ruleFor } from "./policy.ts";

const directory = mkdtempSync("/tmp/signature-policy-");
afterAll(() => rmSync(directory, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(`${directory}/${name}`, text);
  return `${directory}/${name}`;
};
const good = file("good.pub", newSigner("p256").pem);
const read = (value: unknown) =>
  parsePolicy("p.json", Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));
const any = [{ type: "insecureAcceptAnything" }];
const by = (more: object) => ({ default: [{ type: "sigstoreSigned", ...more }] });

test("an image falls under its narrowest scope alone", () => {
  const scopes = [
    "",
    "r.example.com",
    "*.example.com",
    "*.com",
    "r.example.com:5000",
    "r.example.com/a",
    "r.example.com/a/b",
    "r.example.com/a/b:1",
    "docker.io/library",
  ];
  const docker = Object.fromEntries(scopes.map((scope) => [scope, any]));
  const policy = read({ default: [{ type: "reject" }], transports: { docker } });
  const scopeOf = (name: string) => ruleFor(policy, parseReference(name)).scope;
  expect(scopeOf("r.example.com/a/b:1")).toBe("r.example.com/a/b:1");
  expect(scopeOf("r.example.com/a/b:2")).toBe("r.example.com/a/b");
  expect(scopeOf("r.example.com/a/b/c")).toBe("r.example.com/a/b");
  expect(scopeOf("r.example.com/a/bc")).toBe("r.example.com/a");
  expect(scopeOf("r.example.com/ab")).toBe("r.example.com");
  expect(scopeOf("r.example.com:5000/a/b")).toBe("r.example.com:5000");
  expect(scopeOf("q.r.example.com/a")).toBe("*.example.com");
  expect(scopeOf("q.example.com:1/a")).toBe("*.example.com");
  expect(scopeOf("example.com/a")).toBe("*.com");
  expect(scopeOf("busybox")).toBe("docker.io/library");
  expect(scopeOf("index.docker.io/library/busybox")).toBe("docker.io/library");
  expect(scopeOf("r.org/a")).toBe("docker");
  expect(ruleFor(read({ default: any }), parseReference("a")).scope).toBe("default");
});

test.each([
  ["not JSON", "{", "not valid JSON"],
  [
    "a name twice",
    '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}',
    '"default" is there twice',
  ],
  [
    "a name twice, written otherwise",
    '{"default":[{"type":"reject","\\u0074ype":"insecureAcceptAnything"}]}',
    '"type" is there twice',
  ],
  ["no default", {}, "default: there must be a list"],
  ["an empty default", { default: [] }, "default: there must be a list"],
  ["an unknown field", { default: any, transport: {} }, 'unknown field "transport"'],
  ["an unknown requirement", { default: [{ type: "sigstoresigned" }] }, "no requirement"],
  ["a field too much", { default: [{ type: "reject", keyPath: "/x" }] }, 'unknown field "keyPath"'],
  ["GPG", { default: [{ type: "signedBy", keyPath: "/x" }] }, "not supported"],
  ["an unknown transport", { default: any, transports: { dokcer: {} } }, "no transport"],
  ["an odd scope", { default: any, transports: { docker: { "https://x": any } } }, "no host"],
  ["an odd rule", { default: any, transports: { docker: { "x.io": [] } } }, 'docker["x.io"]'],
  [
    "archives that are signed",
    {
      default: any,
      transports: { "docker-archive": { "": [{ type: "sigstoreSigned", keyPath: good }] } },
    },
    "archives have no signatures",
  ],
  ["no key", by({}), "exactly one of"],
  ["two keys", by({ keyPath: good, keyData: "" }), "exactly one of"],
  ["no keys", by({ keyPaths: [] }), "a list of some"],
  ["a relative path", by({ keyPath: "x.pub" }), "absolute path"],
  ["a missing file", by({ keyPath: `${directory}/none` }), "cannot be read"],
  ["certificates of one's own", by({ pki: {} }), "not supported"],
  ["a log with a key", by({ keyPath: good, rekorPublicKeyPath: good }), "with fulcio alone"],
  [
    "an unknown identity",
    by({ keyPath: good, signedIdentity: { type: "matchAny" } }),
    "no signedIdentity",
  ],
  [
    "an inherited identity",
    by({ keyPath: good, signedIdentity: { type: "toString" } }),
    "no signedIdentity",
  ],
  [
    "a repository with a tag",
    by({ keyPath: good, signedIdentity: { type: "exactRepository", dockerRepository: "a:1" } }),
    "has a tag",
  ],
  ["a private key", by({ keyPath: file("private", newSigner("p256").privatePem) }), "private key"],
  ["another curve", by({ keyPath: file("p384", newSigner("p384").pem) }), "secp384r1"],
  ["a short key", by({ keyPath: file("short", newSigner("rsa1024").pem) }), "rsa 1024"],
  [
    "two keys in one file",
    by({ keyPath: file("two", newSigner("p256").pem.repeat(2)) }),
    "not one PEM block",
  ],
] as const)("a policy is refused when it is read: %s", (_what, value, why) => {
  expect(() => read(value)).toThrow(why);
  expect(() => read(value)).toThrow("the signature policy p.json is refused");
});

test("keys come from a file, several, or the policy itself", () => {
  const keyData = Buffer.from(newSigner("rsa").pem).toString("base64");
  const other = file("other.pub", newSigner("ed25519").pem);
  const counts = [{ keyPath: good }, { keyPaths: [good, other] }, { keyData }].map((keys) => {
    const [one] = read(by(keys)).default;
    return one?.type === "sigstoreSigned" && one.trust.kind === "keys" && one.trust.keys.length;
  });
  expect(counts).toEqual([1, 2, 1]);
});

test("archives are judged by rules of their own alone", () => {
  const reject = [{ type: "reject" }];
  const policy = read({ default: reject, transports: { "docker-archive": { "": reject } } });
  expect(() => checkArchive(policy, "docker-archive")).toThrow("rejects the transport");
  expect(() => checkArchive(policy, "tarball")).not.toThrow();
});
