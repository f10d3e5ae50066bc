/**
 * Changing the interfaces of a namespace in which a container runs.
 */

import { type Handle, KernelError } from "../kernel/index.ts";
import type { Networks } from "./networks.ts";
import { deleteDefaultRoute, deleteLinkNamed, setDefaultRoute } from "./rtnetlink.ts";
import { type EndpointRecord, familyOf, findLink, waysOut } from "./segment.ts";

const ENODEV = 19;
const ESRCH = 3;

/** Runs what fails with an errno that says that it has been done already. */
async function unless(errno: number, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errno) throw error;
  }
}

/** Removes an endpoint's interface; fine if it has gone. */
export async function takeInterface(
  { channel }: Networks,
  netns: Handle,
  endpoint: EndpointRecord,
): Promise<void> {
  await unless(ENODEV, channel.send(netns, [deleteLinkNamed(endpoint.interface ?? "eth0")]));
}

/** Lets a namespace's ways out lead by endpoints, of each family by one; undefined: it has none. */
export async function setLeading(
  { channel }: Networks,
  netns: Handle,
  leading: { readonly 4: EndpointRecord | undefined; readonly 6: EndpointRecord | undefined },
): Promise<void> {
  for (const family of [4, 6] as const) {
    const endpoint = leading[family];
    const link = endpoint && (await findLink(channel, endpoint.interface ?? "eth0", netns));
    const way = endpoint && waysOut(endpoint).find((one) => familyOf(one) === family);
    if (way !== undefined && link !== undefined)
      await channel.send(netns, [setDefaultRoute(way, link.index)]);
    else
      await unless(
        ESRCH,
        channel.send(netns, [deleteDefaultRoute(family)]).catch(ignoreSix(family)),
      );
  }
}

/** A namespace without IPv6 has no routes of it either. */
function ignoreSix(family: 4 | 6): (error: unknown) => void {
  return (error) => {
    if (family === 4) throw error;
  };
}
