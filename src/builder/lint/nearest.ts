/**
 * What somebody may have meant. Pure.
 */
import { distance } from "../dockerfile/distance.ts";

const NEAR = 2;
/** A longer word is nobody's slip. */
const LENGTH_MAX = 100;

/** The word that is nearest, if one is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: { readonly name: string; readonly far: number } | undefined;
  for (const name of known) {
    if (word.length > LENGTH_MAX || Math.abs(name.length - word.length) > NEAR) continue;
    const far = distance(word, name);
    if (far <= NEAR && far < name.length && far < (best?.far ?? NEAR + 1)) best = { name, far };
  }
  return best?.name;
}
