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
  RecordType,
  type Resolver,
  reachableResolvers,
  recordData,
  reverseAddress,
  serverFailure,
} from "../network/index.ts";
import { attachmentsOf, dnsNames } from "./attachments.ts";
import type { AttachmentRecord, ContainerRecord, LinkRecord } from "./container-record.ts";
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
export function upstreamsOf(
  { hostConfig: { Dns = [] } }: ContainerRecord,
  outer?: string,
): readonly string[] {
  return Dns.length > 0 ? Dns : reachableResolvers(hostResolvers(), outer);
}

/** What berth itself says of a name to one container. */
interface Known {
  readonly data: readonly Uint8Array[];
  /** Of several records each comes first in its turn. */
  turn: number;
  /** The container's shim has it. */
  kept: boolean;
}

/** An answer's message, which is empty for what gets none. */
export interface NameAnswer {
  readonly message: Uint8Array;
  /** Above 0: it holds as long as nothing changes, also while no daemon runs; the length of its question section. */
  readonly section: number;
}

/** From this version on shims keep answers (SHIM_VERSION). */
const KEEPING_VERSION = 4;

const KEPT_TYPES: readonly number[] = Object.values(RecordType);

/** A user who says how many dots a whole name has wants others to be tried with a search domain first. */
function hasDots({ hostConfig: { DnsOptions = [] } }: ContainerRecord): boolean {
  return DnsOptions.some((option) => /^ndots:0*[1-9]/.test(option));
}

/** Answers the questions of containers. */
export class NameLookup {
  private readonly directories = new Map<string, Directory>();
  /** By a container's id, then by type and name: what has been asked already. It can be no more than there are names. */
  private readonly known = new Map<string, Map<string, Known>>();

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
    for (const [id, ofContainer] of this.known)
      if (ofContainer.values().some(({ kept }) => kept))
        this.parts.registry.find(id)?.shim?.forgetDns();
    this.known.clear();
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

  /** Whom a link means: it may have come after the link. */
  private linked({ id, name }: LinkRecord): ContainerRecord | undefined {
    const { registry } = this.parts;
    return (id === "" ? registry.lookUp(name) : registry.find(id))?.record;
  }

  /** The containers that a name stands for on a network; undefined: none has it. */
  private named(
    attachment: AttachmentRecord,
    name: string,
  ): readonly ContainerRecord[] | undefined {
    const { network, links = [], name: called } = attachment;
    const link = links.find(({ alias }) => alias.toLowerCase() === name);
    const linked = link && this.linked(link);
    if (linked !== undefined && endpointOn(linked, network) !== undefined) return [linked];
    const { byName } = this.directory(network);
    const suffix = `.${called.toLowerCase()}`;
    return (
      byName.get(name) ??
      (name.endsWith(suffix) ? byName.get(name.slice(0, -suffix.length)) : undefined)
    );
  }

  /** What berth itself knows; undefined: somebody else may. */
  private find(record: ContainerRecord, { type, name }: NameQuestion): string[] | undefined {
    const on = attachmentsOf(record).filter(
      ({ network }) => network !== "" && endpointOn(record, network) !== undefined,
    );
    if (type === RecordType.PTR) return this.reverse(on, name);
    for (const attachment of on) {
      const found = this.named(attachment, name);
      if (found === undefined) continue;
      return found.flatMap((one) => {
        const endpoint = endpointOn(one, attachment.network);
        // Of a container that is there nobody else can have records of whatever other type.
        if (type !== RecordType.A && type !== RecordType.AAAA) return [];
        return (type === RecordType.A ? endpoint?.address : endpoint?.address6) || [];
      });
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

  private ownAnswer(
    record: ContainerRecord,
    question: NameQuestion,
    tcp: boolean,
  ): NameAnswer | undefined {
    const { type, name, extended, section } = question;
    let ofContainer = this.known.get(record.id);
    const key = `${type} ${name}`;
    let known = ofContainer?.get(key);
    if (known === undefined) {
      const found = this.find(record, question);
      if (found === undefined) return undefined;
      known = { data: found.map((text) => recordData(type, text)), turn: 0, kept: false };
      if (ofContainer === undefined) {
        ofContainer = new Map();
        this.known.set(record.id, ofContainer);
      }
      if (KEPT_TYPES.includes(type)) ofContainer.set(key, known);
    }
    const message = answerTo(question, known.data, tcp, known.turn++);
    const keep = !known.kept && !extended && !tcp && (record.shimVersion ?? 1) >= KEEPING_VERSION;
    if (!keep || !KEPT_TYPES.includes(type)) return { message, section: 0 };
    known.kept = true;
    return { message, section: section.length };
  }

  /**
   * Answers one message of a container's: at once when berth knows it itself.
   */
  answer(
    record: ContainerRecord,
    message: Uint8Array,
    tcp: boolean,
  ): NameAnswer | Promise<NameAnswer> {
    const question = questionIn(message);
    const own = question && this.ownAnswer(record, question, tcp);
    if (own !== undefined) return own;
    const { networks, resolver } = this.parts;
    const present = attachmentsOf(record).filter(
      ({ network }) => endpointOn(record, network) !== undefined,
    );
    // From an internal network no query leaves by the host (CVE-2024-29018).
    if (endpointsOf(record).length > 0 && leadingOf({ networks }, present) === undefined)
      return { message: serverFailure(message), section: 0 };
    const ofAddress = question?.type === RecordType.A || question?.type === RecordType.AAAA;
    if (question !== undefined && ofAddress && !question.name.includes(".") && hasDots(record))
      return { message: answerTo(question, [], tcp), section: 0 };
    const { Dns = [] } = record.hostConfig;
    return resolver
      .answer(record.id, message, tcp, Dns.length > 0 ? Dns : undefined)
      .then((answer) => ({ message: answer, section: 0 }));
  }
}
