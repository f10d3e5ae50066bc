/**
 * `berth image verify`: asks the registry itself, without a daemon, and says whose signature an image has.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { anonymous, Repository } from "../../registry/index.ts";
import {
  attestationsOf,
  type Judgement,
  judge,
  judgeByKey,
  type Policy,
  parseKey,
  type Question,
  readPolicy,
  type Trust,
  type TrustedKey,
  trustedFor,
} from "../../signatures/index.ts";
import { familiarReference, parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { addressOf, loginFor } from "../docker-config.ts";
import { flag, type Parsed } from "../flags.ts";
import { out } from "../output.ts";

const DEFAULT_POLICY = "/etc/berth/policy.json";
const CERTIFICATES = ["/etc/berth/certs.d", "/etc/docker/certs.d"];

/** By what an image is judged. */
type Measure = { readonly key: TrustedKey } | { readonly policy: Policy };

function measureOf(parsed: Parsed): Measure {
  const file = parsed.text("key");
  const given = parsed.text("policy");
  if (file !== "" && given !== "")
    throw new Error("--key and --policy cannot be given together: a policy names its own keys");
  if (file !== "") {
    let pem: string;
    try {
      pem = readFileSync(file, "utf8");
    } catch (error) {
      throw new Error(`the key ${file} cannot be read: ${messageOf(error)}`);
    }
    return { key: parseKey(file, pem) };
  }
  if (given === "" && !existsSync(DEFAULT_POLICY))
    throw new Error(
      `there is nothing to verify by: no --key, no --policy, and no ${DEFAULT_POLICY}; give the public key that the image is signed with, as in --key cosign.pub`,
    );
  return { policy: readPolicy(given === "" ? DEFAULT_POLICY : resolve(given)) };
}

/** What an answer consists of, for --format json and as text. */
async function answerOf(measure: Measure, question: Question, { scope, verified }: Judgement) {
  const { reference, subject } = question;
  const trusted: Trust[] =
    "key" in measure
      ? [{ kind: "keys", keys: [measure.key] }]
      : trustedFor(measure.policy, reference);
  const attested = trusted.length === 0 ? [] : await attestationsOf(question, trusted);
  return {
    Image: familiarReference(reference),
    Digest: subject.digest,
    ...("policy" in measure ? { Policy: measure.policy.name, Scope: scope } : {}),
    Signatures: verified.map(({ key, identity = "", where }) => ({
      ...{ Key: key.name, Fingerprint: key.fingerprint, Identity: identity, Where: where },
    })),
    Attestations: attested.map(({ predicateType, digest, key }) => ({
      ...{ PredicateType: predicateType, Digest: digest, Key: key.name },
    })),
  };
}

function textOf(answer: Awaited<ReturnType<typeof answerOf>>): string {
  const { Image, Digest, Policy, Scope, Signatures, Attestations } = answer;
  const lines = [`Image:       ${Image}`, `Digest:      ${Digest}`];
  if (Policy !== undefined) lines.push(`Policy:      ${Policy} (scope ${Scope})`);
  if (Signatures.length === 0) lines.push("Signature:   none is asked for");
  for (const { Key, Fingerprint, Identity, Where } of Signatures)
    lines.push(
      `Signature:   ${Where}`,
      `  Key:       ${Key} (${Fingerprint})`,
      `  Identity:  ${Identity === "" ? "none: the digest alone is signed" : Identity}`,
    );
  for (const { PredicateType, Digest: digest, Key } of Attestations)
    lines.push(`Attestation: ${PredicateType} ${digest} (by ${Key})`);
  return `${lines.join("\n")}\n`;
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] IMAGE",
  short: "Check an image's signature in its registry",
  args: [1, 1],
  flags: [
    flag("format", "", "string", 'Format of the answer: "json", or text without it'),
    flag("insecure", "", "bool", "Allow communication with an insecure registry"),
    flag("key", "", "string", "Public key (PEM) that must have signed the image"),
    flag("policy", "", "string", "Signature policy to judge by", '"/etc/berth/policy.json"'),
  ],
  async run(_context, parsed) {
    const format = parsed.text("format");
    if (format !== "" && format !== "json")
      throw new Error(`invalid --format "${format}": only json is known; leave it out for text`);
    const measure = measureOf(parsed);
    const name = parsed.args[0] ?? "";
    const reference = parseReference(name);
    const insecure = parsed.on("insecure") ? [reference.domain] : [];
    const settings = { insecure, mirrors: [], certificates: CERTIFICATES };
    const login = loginFor(addressOf(name)) ?? anonymous;
    const source = new Repository(reference, settings, login, "pull");
    const subject = await source.manifest(reference.digest ?? reference.tag ?? "latest");
    const { signal } = new AbortController();
    const question = { reference, subject, source, signal };
    const judgement =
      "key" in measure
        ? await judgeByKey(measure.key, question)
        : await judge(measure.policy, question);
    const answer = await answerOf(measure, question, judgement);
    out(format === "json" ? `${JSON.stringify(answer, null, 4)}\n` : textOf(answer));
    return 0;
  },
};
