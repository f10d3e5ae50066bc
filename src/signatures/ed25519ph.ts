/**
 * Ed25519ph (RFC 8032, section 5.1): how cosign 2.6 and 3 sign with Ed25519 keys, and what the crypto of the runtime does
 * not know. Only checks: everything here is public, so that it does not matter how long it takes for which bytes.
 */
import { createHash } from "node:crypto";

const P = 2n ** 255n - 19n;
/** The order of the base point. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const HEAD = Buffer.concat([
  Buffer.from("SigEd25519 no Ed25519 collisions"),
  // With a hash before it, and no context.
  Buffer.from([1, 0]),
]);

const modulo = (value: bigint, by = P) => ((value % by) + by) % by;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let at = modulo(base), left = exponent; left > 0n; left >>= 1n) {
    if (left & 1n) result = modulo(result * at);
    at = modulo(at * at);
  }
  return result;
}

const D = modulo(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);

/** A point of the curve in extended coordinates: x = X/Z, y = Y/Z, T = XY/Z. */
interface Point {
  readonly X: bigint;
  readonly Y: bigint;
  readonly Z: bigint;
  readonly T: bigint;
}

const NEUTRAL: Point = { X: 0n, Y: 1n, Z: 1n, T: 0n };

function add(p: Point, q: Point): Point {
  const a = modulo((p.Y - p.X) * (q.Y - q.X));
  const b = modulo((p.Y + p.X) * (q.Y + q.X));
  const c = modulo(2n * p.T * q.T * D);
  const d = modulo(2n * p.Z * q.Z);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return { X: modulo(e * f), Y: modulo(g * h), Z: modulo(f * g), T: modulo(e * h) };
}

function times(point: Point, factor: bigint): Point {
  let result = NEUTRAL;
  for (let at = point, left = factor; left > 0n; left >>= 1n) {
    if (left & 1n) result = add(result, at);
    at = add(at, at);
  }
  return result;
}

const isSame = (p: Point, q: Point) =>
  modulo(p.X * q.Z - q.X * p.Z) === 0n && modulo(p.Y * q.Z - q.Y * p.Z) === 0n;

const numberOf = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);

/** The point that 32 bytes stand for; undefined: none, or another way to write one. */
function pointOf(bytes: Uint8Array): Point | undefined {
  const number = numberOf(bytes);
  const [sign, y] = [number >> 255n, number & (2n ** 255n - 1n)];
  if (y >= P) return undefined;
  const u = modulo(y * y - 1n);
  const v = modulo(D * y * y + 1n);
  let x = modulo(u * power(v, 3n) * power(u * power(v, 7n), (P - 5n) / 8n));
  const found = modulo(v * x * x);
  if (found === modulo(-u)) x = modulo(x * ROOT_OF_MINUS_ONE);
  else if (found !== u) return undefined;
  if (x === 0n && sign === 1n) return undefined;
  if ((x & 1n) !== sign) x = P - x;
  return { X: x, Y: y, Z: 1n, T: modulo(x * y) };
}

const BASE = pointOf(Buffer.from(`58${"66".repeat(31)}`, "hex")) ?? NEUTRAL;

/** Whether a signature is of a message's SHA-512, by a public key of 32 bytes. */
export function isSignedEd25519ph(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  const [head, tail] = [signature.subarray(0, 32), signature.subarray(32)];
  const factor = numberOf(tail);
  const key = pointOf(publicKey);
  const point = pointOf(head);
  // A larger factor would be the same signature written in another way.
  if (key === undefined || point === undefined || factor >= L) return false;
  const hashed = createHash("sha512").update(message).digest();
  const all = [HEAD, head, publicKey, hashed];
  const challenge = modulo(numberOf(createHash("sha512").update(Buffer.concat(all)).digest()), L);
  return isSame(times(BASE, factor), add(point, times(key, challenge)));
}
