/**
 * What builds tell while they go on.
 */

/** What happens in a build. A step is known by its number. */
export type BuildEvent =
  | {
      readonly kind: "step";
      readonly step: number;
      readonly total: number;
      /** The stage's name or number. */
      readonly stage: string;
      readonly text: string;
    }
  | { readonly kind: "cached"; readonly step: number }
  | { readonly kind: "running"; readonly step: number }
  | {
      readonly kind: "output";
      readonly step: number;
      readonly stream: "stdout" | "stderr";
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "done"; readonly step: number; readonly layer: string | undefined }
  | { readonly kind: "notice"; readonly step: number; readonly text: string }
  | { readonly kind: "warning"; readonly text: string };
