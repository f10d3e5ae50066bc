/**
 * Whether a policy lets an image come: its signatures are looked for with the registry and checked by the policy's keys.
 */
import { fault, messageOf } from "../base/errors.ts";
import { familiarReference, type Reference } from "../spec/reference.ts";
import { type Candidate, candidatesOf, type SignatureSource } from "./found.ts";
import { checkIdentity } from "./identity.ts";
import type { Trust } from "./keyless.ts";
import type { TrustedKey } from "./keys.ts";
import {
  BUNDLE,
  readBundle,
  readEnvelope,
  readSimpleSigning,
  SIMPLE_SIGNING,
  type Signed,
  type Subject,
} from "./payloads.ts";
import { type Policy, type Requirement, type Rule, ruleFor } from "./policy.ts";
import { parseStrictly } from "./strict-json.ts";

/** A signature that counts. */
export interface Verified {
  readonly key: TrustedKey;
  /** The image's name in it; undefined: it has none. */
  readonly identity: string | undefined;
  /** Where it was found. */
  readonly where: string;
}

/** A statement about an image. */
export interface Attested {
  readonly predicateType: string;
  /** Of the document. */
  readonly digest: string;
  /** Who has signed it. */
  readonly key: TrustedKey;
}

/** What is judged. */
export interface Question {
  readonly reference: Reference;
  /** What the reference leads to, the bytes of which are those that are used if the answer is yes. */
  readonly subject: Subject;
  readonly source: SignatureSource;
  readonly signal: AbortSignal;
}

type SigstoreSigned = Extract<Requirement, { type: "sigstoreSigned" }>;
/** So many reasons are told. */
const REASONS_MAX = 4;

async function readCandidate(
  candidate: Candidate,
  subject: Subject,
  trust: Trust,
): Promise<Signed> {
  const bytes = await candidate.read();
  if (candidate.mediaType === SIMPLE_SIGNING)
    return readSimpleSigning(bytes, candidate.annotations, subject, trust);
  if (candidate.mediaType === BUNDLE) return readBundle(bytes, subject, trust);
  return readEnvelope(parseStrictly(bytes), subject, trust);
}

function refusal({ reference }: Question, rule: string, reasons: readonly string[]): Error {
  const shown = familiarReference(reference);
  const told = reasons.slice(0, REASONS_MAX).join("; ");
  const more = reasons.length > REASONS_MAX ? `; and ${reasons.length - REASONS_MAX} more` : "";
  const why = reasons.length === 0 ? "the registry has no signature of it" : `${told}${more}`;
  return fault(
    "forbidden",
    "signature-missing",
    `${shown} is refused: ${rule} wants a signature, and ${why}; sign it by cosign sign --key, or see what is there by: berth image verify --key FILE ${shown}`,
  );
}

/** The first signature that fulfils a condition. Rejects with a Fault "forbidden" when none does. */
async function signatureFor(
  question: Question,
  { trust, identity }: SigstoreSigned,
  rule: string,
): Promise<Verified> {
  const { subject, source, reference, signal } = question;
  const reasons: string[] = [];
  for await (const one of candidatesOf(source, subject.digest, ["sig"], signal)) {
    try {
      if ("problem" in one) throw new Error(one.problem);
      const signed = await readCandidate(one, subject, trust);
      // Whoever attests something, which may be that an image is bad, has not let it pass by that.
      if (signed.predicateType !== undefined)
        throw new Error(`it attests ${signed.predicateType}, and is no signature`);
      checkIdentity(identity, reference, signed.identity);
      return { key: signed.key, identity: signed.identity, where: one.where };
    } catch (error) {
      signal.throwIfAborted();
      reasons.push(`${one.where}: ${messageOf(error)}`);
    }
  }
  throw refusal(question, rule, reasons);
}

async function fulfil(question: Question, { scope, requirements }: Rule, name: string) {
  const rule = `the policy ${name} (scope ${scope})`;
  const shown = familiarReference(question.reference);
  if (requirements.some(({ type }) => type === "reject"))
    throw fault(
      "forbidden",
      "signature-rejected",
      `${shown} is refused: ${rule} rejects it; take an image that it allows, or have a scope for this one written into it`,
    );
  const found: Verified[] = [];
  for (const one of requirements)
    if (one.type === "sigstoreSigned") found.push(await signatureFor(question, one, rule));
  return found;
}

/** What a policy says of an image. */
export interface Judgement {
  readonly scope: string;
  /** The signatures that it has asked for; none where it accepts anything. */
  readonly verified: readonly Verified[];
}

/** Judges an image by a policy. Rejects with a Fault "forbidden" when it must not come. */
export async function judge(policy: Policy, question: Question): Promise<Judgement> {
  const rule = ruleFor(policy, question.reference);
  return { scope: rule.scope, verified: await fulfil(question, rule, policy.name) };
}

/** Looks for a signature by one key: for this repository, or for the digest alone. Rejects with a Fault "forbidden". */
export async function judgeByKey(key: TrustedKey, question: Question): Promise<Judgement> {
  const identity = { type: "repositoryIfNamed" } as const;
  const trust = { kind: "keys", keys: [key] } as const;
  const requirement = { type: "sigstoreSigned", trust, identity } as const;
  const verified = await signatureFor(question, requirement, `the key ${key.name}`);
  return { scope: "", verified: [verified] };
}

/** What those who are trusted have attested of an image; what is not by them is left out. */
export async function attestationsOf(
  { subject, source, signal }: Question,
  trusted: readonly Trust[],
): Promise<Attested[]> {
  const found: Attested[] = [];
  for await (const one of candidatesOf(source, subject.digest, ["att"], signal)) {
    if ("problem" in one) continue;
    for (const trust of trusted)
      try {
        const { predicateType, key } = await readCandidate(one, subject, trust);
        if (predicateType !== undefined) found.push({ predicateType, digest: one.digest, key });
        break;
      } catch {
        // By somebody else, or of another image: it says nothing here.
        signal.throwIfAborted();
      }
  }
  return found;
}

/** Whom a policy trusts for an image. */
export function trustedFor(policy: Policy, reference: Reference): Trust[] {
  return ruleFor(policy, reference).requirements.flatMap((one) =>
    one.type === "sigstoreSigned" ? one.trust : [],
  );
}
