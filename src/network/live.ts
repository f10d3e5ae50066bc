/**
 * Changing the interfaces of a namespace in which a container runs.
 */
import { type Handle, KernelError } from "../kernel/index.ts";
import type { EndpointRecord } from "./bridge.ts";
import type { Networks } from "./networks.ts";
import {
  deleteDefaultRoute,
  deleteLinkNamed,
  getLink,
  linksOf,
  setDefaultRoute,
} from "./rtnetlink.ts";

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

/** Lets a namespace's way out lead by an endpoint; undefined: it has none. */
export async function setLeading(
  { channel }: Networks,
  netns: Handle,
  endpoint: EndpointRecord | undefined,
): Promise<void> {
  const links =
    endpoint === undefined
      ? []
      : linksOf(await channel.send(netns, [getLink(endpoint.interface ?? "eth0")]));
  const index = links[0]?.index;
  for (const [family, gateway] of [
    [4, endpoint?.gateway],
    [6, endpoint?.gateway6],
  ] as const) {
    if (index !== undefined && gateway)
      await channel.send(netns, [setDefaultRoute(gateway, index)]);
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
