/**
 * A signature policy as the image store asks it.
 */
import type { Admission } from "../images/index.ts";
import { checkArchive, judge, type Policy } from "../signatures/index.ts";

/** Lets in what a policy does. */
export function admissionBy(policy: Policy): Admission {
  return {
    pulled: async (question) => (await judge(policy, question)).verified.length > 0,
    archived: (transport) => checkArchive(policy, transport),
  };
}
