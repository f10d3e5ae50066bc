/** What berth uses of dns-packet, which brings no types. */
declare module "dns-packet" {
  interface DnsQuestion {
    readonly name: string;
    readonly type: string;
    readonly class: string;
  }
  interface DnsAnswer {
    readonly name: string;
    readonly type: string;
    readonly ttl?: number;
    readonly class?: string;
    readonly data?: unknown;
    readonly udpPayloadSize?: number;
  }
  interface DnsPacket {
    readonly id?: number;
    readonly type?: "query" | "response";
    readonly flags?: number;
    readonly opcode?: string;
    readonly questions?: readonly DnsQuestion[];
    readonly answers?: readonly DnsAnswer[];
    readonly additionals?: readonly DnsAnswer[];
  }
  /** Throws for what is no message. */
  export function decode(message: Uint8Array): DnsPacket;
  export function encode(packet: DnsPacket): Uint8Array;
}
