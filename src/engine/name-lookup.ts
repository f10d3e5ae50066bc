/**
 * What containers' names mean to a container that asks: on each of its networks those of the containers that are there, by name,
 * alias, short id and link. Everything else is asked of others, unless no network leads there.
 */
import {
  answerTo,
  hostResolvers,
  type NameQuestion,
  type Networks,
  parseAddress,
  questionIn,
  type Resolver,
  reverseAddress,
  serverFailure,
} from "../network/index.ts";
import { attachmentsOf, dnsNames } from "./attachments.ts";
import type { AttachmentRecord, ContainerRecord } from "./container-record.ts";
import { addressesOf, endpointOn, endpointsOf, leadingOf } from "./networking.ts";
import type { ContainerRegistry } from "./registry.ts";

/** Who is on a network. */
interface Directory {
  readonly byName: ReadonlyMap<string, readonly ContainerRecord[]>;
  /** By "4 12345": family and number of an address. */
  readonly byAddress: ReadonlyMap<string, ContainerRecord>;
}

const addressKey = (text: string | undefined) => {
  const parsed = parseAddress(text ?? "");
  return parsed === undefined ? "" : `${parsed.family} ${parsed.value}`;
};

/** Whom a container's resolver asks what it does not know itself. */
export function upstreamsOf({ hostConfig: { Dns = [] } }: ContainerRecord): readonly string[] {
  return Dns.length > 0 ? Dns : hostResolvers();
}

/** Answers the questions of containers. */
export class NameLookup {
  private readonly directories = new Map<string, Directory>();
  /** Of several answers each comes first in its turn. */
  private turn = 0;

  constructor(
    private readonly parts: {
      readonly registry: ContainerRegistry;
      readonly networks: Networks;
      readonly resolver: Resolver;
    },
  ) {}

  /** Some container has come or gone, or is called otherwise. */
  changed(): void {
    this.directories.clear();
  }

  private directory(network: string): Directory {
    const known = this.directories.get(network);
    if (known !== undefined) return known;
    const byName = new Map<string, ContainerRecord[]>();
    const byAddress = new Map<string, ContainerRecord>();
    for (const { record } of this.parts.registry.all()) {
      const endpoint = endpointOn(record, network);
      if (endpoint === undefined) continue;
      for (const address of addressesOf(endpoint)) byAddress.set(addressKey(address), record);
      const attachment = attachmentsOf(record).find((one) => one.network === network);
      for (const name of attachment === undefined ? [] : dnsNames(record, attachment)) {
        const key = name.toLowerCase();
        byName.set(key, [...(byName.get(key) ?? []), record]);
      }
    }
    const made = { byName, byAddress };
    this.directories.set(network, made);
    return made;
  }

  /** The containers that a name stands for on a network; undefined: none has it. */
  private named(
    attachment: AttachmentRecord,
    name: string,
  ): readonly ContainerRecord[] | undefined {
    const { network, links = [], name: called } = attachment;
    const link = links.find(({ alias }) => alias.toLowerCase() === name);
    const linked = link && this.parts.registry.find(link.id)?.record;
    if (linked !== undefined && endpointOn(linked, network) !== undefined) return [linked];
    const { byName } = this.directory(network);
    const suffix = `.${called.toLowerCase()}`;
    return (
      byName.get(name) ??
      (name.endsWith(suffix) ? byName.get(name.slice(0, -suffix.length)) : undefined)
    );
  }

  /** What berth itself knows; undefined: somebody else may. */
  private ownAnswer(record: ContainerRecord, question: NameQuestion): string[] | undefined {
    const on = attachmentsOf(record).filter(
      ({ network }) => network !== "" && endpointOn(record, network) !== undefined,
    );
    if (question.type === "PTR") return this.reverse(on, question.name);
    for (const attachment of on) {
      const found = this.named(attachment, question.name);
      if (found === undefined) continue;
      const addresses = found.flatMap((one) => {
        const endpoint = endpointOn(one, attachment.network);
        return (question.type === "A" ? endpoint?.address : endpoint?.address6) || [];
      });
      const first = this.turn++ % Math.max(addresses.length, 1);
      return [...addresses.slice(first), ...addresses.slice(0, first)];
    }
    return undefined;
  }

  private reverse(on: readonly AttachmentRecord[], name: string): string[] | undefined {
    const asked = reverseAddress(name);
    if (asked === undefined) return undefined;
    for (const { network, name: called } of on) {
      const { byAddress } = this.directory(network);
      const found = byAddress.get(`${asked.family} ${asked.value}`);
      if (found !== undefined) return [`${found.name}.${called}`];
    }
    return undefined;
  }

  /** Answers one message of a container's; gives the answer's message. */
  async answer(record: ContainerRecord, message: Uint8Array, tcp: boolean): Promise<Uint8Array> {
    const question = questionIn(message);
    const own = question && this.ownAnswer(record, question);
    if (question !== undefined && own !== undefined) return answerTo(question, own, tcp);
    const { networks, resolver } = this.parts;
    const present = attachmentsOf(record).filter(
      ({ network }) => endpointOn(record, network) !== undefined,
    );
    // From an internal network no query leaves by the host (CVE-2024-29018).
    if (endpointsOf(record).length > 0 && leadingOf({ networks }, present) === undefined)
      return serverFailure(message);
    const { Dns = [] } = record.hostConfig;
    return resolver.answer(message, tcp, Dns.length > 0 ? Dns : undefined);
  }
}
