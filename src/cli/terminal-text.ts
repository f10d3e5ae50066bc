/**
 * Text from elsewhere for a terminal: nothing of it moves the cursor, and it is as wide as it says.
 */

/** Escape sequences, then what is left of control characters. */
const SEQUENCES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*|.)?/g;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** A text without anything that a terminal would obey. */
export function plainText(text: string): string {
  return text.replaceAll("\t", "  ").replaceAll(SEQUENCES, "").replaceAll(CONTROLS, "");
}

/** A text cut to so many columns; wide characters count as they are shown. */
export function cutText(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  let [kept, width] = ["", 0];
  for (const letter of text) {
    width += Bun.stringWidth(letter);
    if (width > columns) break;
    kept += letter;
  }
  return kept;
}
