/**
 * Text from elsewhere for a terminal: nothing of it moves the cursor, and it is as wide as it says.
 */

/** Escape sequences. */
const SEQUENCES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*|.)?/g;
/** Controls, and what reorders the text around it. */
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A text without anything that a terminal would obey. */
export function plainText(text: string): string {
  return text.replaceAll("\t", "  ").replaceAll(SEQUENCES, "").replaceAll(OBEYED, "");
}

const LETTERS: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** What a character is spelled with where it must not be obeyed. */
function spelledOut(letter: string): string {
  const code = letter.codePointAt(0) ?? 0;
  const digits = (width: number) => code.toString(16).padStart(width, "0");
  return LETTERS[letter] ?? (code < 0x100 ? `\\x${digits(2)}` : `\\u${digits(4)}`);
}

/** A text of one line that a terminal shows and does not obey: a name's newline is \n, its escape \x1b. */
export function harmless(text: string): string {
  return text.replaceAll(OBEYED, spelledOut);
}

/** The same for a text of lines, which keeps them and its tabs. */
export function harmlessLines(text: string): string {
  return text.replaceAll(OBEYED, (letter) =>
    letter === "\n" || letter === "\t" ? letter : spelledOut(letter),
  );
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
