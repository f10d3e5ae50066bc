import { expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { isSignedEd25519ph } from "./ed25519ph.ts";

// RFC 8032, section 7.3.
const key = Buffer.from("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf", "hex");
const signature = Buffer.from(
  "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
  "hex",
);
const message = Buffer.from("abc");

test("the specification's signature is one", () => {
  expect(isSignedEd25519ph(key, message, signature)).toBe(true);
});

test("with any bit changed, of key, message or signature, it is none", () => {
  for (const part of [key, message, signature])
    for (let bit = 0; bit < part.length * 8; bit += 3) {
      const byte = bit >> 3;
      part[byte] = (part[byte] ?? 0) ^ (1 << (bit & 7));
      expect(isSignedEd25519ph(key, message, signature), `bit ${bit}`).toBe(false);
      part[byte] = (part[byte] ?? 0) ^ (1 << (bit & 7));
    }
  expect(isSignedEd25519ph(key, message, signature)).toBe(true);
});

test("the same factor plus the order, and what is too short, are none", () => {
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const tail = signature.subarray(32);
  const factor = BigInt(`0x${Buffer.from(tail).reverse().toString("hex")}`) + order;
  const other = Buffer.from(factor.toString(16).padStart(64, "0"), "hex").reverse();
  expect(isSignedEd25519ph(key, message, Buffer.concat([signature.subarray(0, 32), other]))).toBe(
    false,
  );
  for (const length of [0, 32, 63])
    expect(isSignedEd25519ph(key, message, signature.subarray(0, length))).toBe(false);
  expect(isSignedEd25519ph(key.subarray(1), message, signature)).toBe(false);
});

test("a signature of plain Ed25519 is none of Ed25519ph", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
  expect(isSignedEd25519ph(raw, message, sign(null, message, privateKey))).toBe(false);
});
