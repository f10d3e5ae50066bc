/**
 * What --link says: pure.
 */
import { fault } from "../base/errors.ts";

/** "name", "name:alias", or as inspect shows it "/name:/linking/alias". Throws a Fault "invalid" in Docker's words. */
export function parseLink(text: string): { name: string; alias: string } {
  if (text === "") throw fault("invalid", "link", "empty string specified for links");
  const [name = "", given, ...more] = text.split(":");
  if (name === "" || given === "" || more.length > 0)
    throw fault("invalid", "link", `bad format for links: ${text}`);
  const alias = given?.startsWith("/") ? (given.split("/").at(-1) ?? "") : (given ?? name);
  return { name: name.replace(/^\//, ""), alias };
}
