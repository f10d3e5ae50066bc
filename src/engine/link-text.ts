/**
 * What --link says, and whom it means.
 */

import { fault } from "../base/errors.ts";
import type { LinkRecord } from "./container-record.ts";
import type { ContainerRegistry } from "./registry.ts";

/** "name", "name:alias", or as inspect shows it "/name:/linking/alias". Throws a Fault "invalid" in Docker's words. */
export function parseLink(text: string): { name: string; alias: string } {
  if (text === "") throw fault("invalid", "link", "empty string specified for links");
  const [name = "", given, ...more] = text.split(":");
  if (name === "" || given === "" || more.length > 0)
    throw fault("invalid", "link", `bad format for links: ${text}`);
  const alias = given?.startsWith("/") ? (given.split("/").at(-1) ?? "") : (given ?? name);
  return { name: name.replace(/^\//, ""), alias };
}

/** Links on a user's network: names there, of containers that are yet to come, too. Throws Faults in Docker's words. */
export function namedLinksOf(registry: ContainerRegistry, texts: readonly string[]): LinkRecord[] {
  return texts.map((text) => {
    const { name, alias } = parseLink(text);
    const other = registry.lookUp(name);
    return { id: other?.id ?? "", name: other?.record.name ?? name, alias };
  });
}

/** The containers that `NAME[:ALIAS]` mean, as they are now. Throws Faults in Docker's words. */
export function linksOf(registry: ContainerRegistry, texts: readonly string[]): LinkRecord[] {
  return texts.map((text) => {
    const { name, alias } = parseLink(text);
    const other = registry.lookUp(name);
    if (other === undefined)
      throw fault(
        "invalid",
        "other-container",
        `could not get container for ${name}: No such container: ${name}`,
      );
    return { id: other.id, name: other.record.name, alias };
  });
}
