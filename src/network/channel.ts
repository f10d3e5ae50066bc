/**
 * Netlink by the helper: requests in one buffer, the first refusal as an error.
 */
import { type Handle, type Kernel, KernelError } from "../kernel/index.ts";
import {
  decodeAnswers,
  encodeRequests,
  type NetlinkAnswer,
  type NetlinkRequest,
} from "./netlink.ts";

/** Links, addresses, routes. */
export const NETLINK_ROUTE = 0;
/** nftables and conntrack. */
export const NETLINK_NETFILTER = 12;

/** Asks the kernel, in the host's network namespace or in another. */
export class NetlinkChannel {
  private seq = 1;

  constructor(readonly kernel: Kernel) {}

  /** Sends requests in one buffer, in their order. Throws a KernelError for the first that is refused. */
  async send(
    netns: Handle,
    requests: readonly NetlinkRequest[],
    protocol = NETLINK_ROUTE,
  ): Promise<NetlinkAnswer[]> {
    if (requests.length === 0) return [];
    const first = this.seq;
    this.seq = (this.seq + requests.length) % 0x7fffffff || 1;
    const last = requests.findLastIndex((request) => (request.flags & 4) !== 0);
    const data = await this.kernel.netlink(
      netns,
      protocol,
      encodeRequests(requests, first),
      first + (last < 0 ? requests.length - 1 : last),
    );
    const answers = decodeAnswers(data);
    const refused = answers.find((answer) => answer.error !== undefined && answer.error !== 0);
    if (refused !== undefined) {
      const what = requests[refused.seq - first]?.what ?? "netlink";
      throw new KernelError(refused.error ?? 0, `errno ${refused.error}`, what);
    }
    return answers;
  }
}
