/**
 * The Engine API's answers with the types that they have in Go, as docker's templates see them: fields in their order,
 * zero values for what JSON leaves out, and how each type prints.
 */
import type { Value } from "../gotemplate/index.ts";
import { behaviours } from "./behaviours.ts";
import { containerTypes } from "./container-types.ts";
import { decode } from "./decode.ts";
import { engineTypes } from "./engine-types.ts";
import { Types } from "./notation.ts";

const goTypes = new Types(containerTypes + engineTypes, behaviours);

/** What docker decodes each kind of answer into. */
const ROOTS = {
  container: "container.InspectResponse",
  context: "context.contextWithTLSListing",
  event: "events.Message",
  image: "image.InspectResponse",
  info: "system.dockerInfo",
  network: "network.Inspect",
  plugin: "*types.Plugin",
  version: "system.versionInfo",
  volume: "volume.Volume",
} as const;

/** A kind of answer. */
export type Answer = keyof typeof ROOTS;

/** An answer as docker's value of it. */
export function typedValue(answer: Answer, json: unknown): Value {
  return decode(goTypes.of(ROOTS[answer]), json);
}

/** Whether there is a type for a kind of answer. */
export function isAnswer(kind: string): kind is Answer {
  return Object.hasOwn(ROOTS, kind);
}
