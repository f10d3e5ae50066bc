/**
 * The ids of the networks that every daemon has: pure.
 */

/** The default bridge's id: it is the same for every daemon, as its name is. */
export const BRIDGE_ID = new Bun.CryptoHasher("sha256")
  .update("berth default bridge")
  .digest("hex");

/** The id of one of the networks that every daemon has. */
export function networkId(name: string): string {
  return name === "bridge"
    ? BRIDGE_ID
    : new Bun.CryptoHasher("sha256").update(`berth ${name}`).digest("hex");
}

/** The id that a container's endpoint has on a network that has no addresses: it is nowhere stored. */
export function bareEndpointId(container: string, network: string): string {
  return new Bun.CryptoHasher("sha256").update(`${container} ${network}`).digest("hex");
}
