/**
 * Names of containers: their form, and made-up ones.
 */
import { fault } from "../base/errors.ts";

const FORM = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

const qualities =
  "able airy apt azure bold brisk calm candid clear crisp deft eager early easy fair fine firm fleet fresh gentle glad grand hardy keen kind light lively loyal merry mild neat noble plain proud quick quiet ready sharp sleek smart snug sound spry steady stout sunny swift tidy trim true vivid warm wise".split(
    " ",
  );
const ports =
  "aarhus aden algeciras antwerp bergen bilbao boston bremen bristol busan cadiz cork corfu dakar dalian dover durban genoa gdansk ghent hamburg havana incheon jeddah kiel kobe lagos lisbon lome malmo manila mersin naples narvik nantes odense oslo ostend osaka palermo piraeus porto riga rostock salerno santos split tallinn tampa trieste tunis turku valencia varna vigo yokohama".split(
    " ",
  );

/** Checks a name that a user gave; throws a Fault "invalid" in Docker's words. Gives it without a leading slash. */
export function checkName(name: string): string {
  if (!FORM.test(name) || name.length > 255)
    throw fault(
      "invalid",
      "container-name",
      `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    );
  return name.replace(/^\//, "");
}

/** A name that nobody has yet. */
export function makeUpName(taken: (name: string) => boolean): string {
  const pick = (list: readonly string[]) => list[Math.floor(Math.random() * list.length)] ?? "";
  for (let tries = 0; ; tries++) {
    const name = `${pick(qualities)}_${pick(ports)}${tries > 5 ? Math.floor(Math.random() * 10000) : ""}`;
    if (!taken(name)) return name;
  }
}

/** A new id: 64 hexadecimal digits that are not all decimal in their first twelve, so that it is never taken for a number. */
export function newId(): string {
  for (;;) {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    if (!/^\d{12}/.test(id)) return id;
  }
}
