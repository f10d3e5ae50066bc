/**
 * Scenarios of a client program, which runs under any runtime: one after the other, each with a line that says how it went.
 */
import process from "node:process";

/** One thing that programs do with an engine. */
export type Scenarios = Readonly<Record<string, () => Promise<void>>>;

/** How long one may take; a client that waits for what never comes would wait forever. */
const PATIENCE_MS = 30_000;

/** Runs them; ends the process, since clients keep connections open. The arguments select some by name. */
export async function play(scenarios: Scenarios): Promise<never> {
  const selected = process.argv.slice(2);
  let failures = 0;
  for (const [name, run] of Object.entries(scenarios)) {
    if (selected.length > 0 && !selected.includes(name)) continue;
    try {
      await Promise.race([run(), tooLong()]);
      console.log(`ok ${name}`);
    } catch (error) {
      failures++;
      console.log(`FAIL ${name}`, error);
    }
  }
  process.exit(failures === 0 ? 0 : 1);
}

function tooLong(): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(reject, PATIENCE_MS, new Error("it does not end")).unref();
  });
}

/** Everything that a stream says until its end, as text. */
export async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** Waits until `seen` gives something. */
export async function until<T>(seen: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await seen();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
