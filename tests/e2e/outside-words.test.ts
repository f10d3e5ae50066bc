/** Words from outside are words, also those that every object of JavaScript's knows: as keys of filters, options, labels, modes. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { filters } from "../../src/api/request.ts";
import { labelHolds } from "../../src/base/selection.ts";
import { parseRunMount } from "../../src/builder/dockerfile/run-mounts.ts";
import { encodeFilters } from "../../src/cli/filters.ts";
import { startOrderOf } from "../../src/engine/start-order.ts";
import { checkLogOptions } from "../../src/logging/options.ts";
import { extraAttributes } from "../../src/logging/source.ts";
import { parseDaemonOptions } from "../../src/main/options.ts";
import { parseMountOptions } from "../../src/spec/mount-options.ts";
import { parsePlatform } from "../../src/spec/platform.ts";
import { mountFailure } from "../../src/volumes/options.ts";
import { checkAll } from "../kits/fuzz.ts";

const words = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];

test("a label and a filter of any word", async () => {
  const any = fc.oneof(fc.constantFrom(...words), fc.string({ minLength: 1 }));
  await checkAll(fc.tuple(any, fc.array(any)), ([word, others]) => {
    const given = Object.fromEntries(others.map((one) => [one, [one]]));
    const read = filters(new URLSearchParams({ filters: JSON.stringify(given) }));
    expect(Object.entries(read)).toEqual(Object.entries(given));
    const labels = Object.fromEntries(others.map((one) => [one, "x"]));
    const key = word.split("=")[0] ?? "";
    const holds = word.includes("=")
      ? others.includes(key) && word === `${key}=x`
      : others.includes(word);
    expect(labelHolds(labels, word)).toBe(holds);
  });
});

for (const word of words) {
  test(`a filter called ${word} is a filter with values, on both sides`, () => {
    const text = `{"${word}":["a"],"label":{"${word}":true}}`;
    const read = filters(new URLSearchParams({ filters: text }));
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(Object.entries(read)).toEqual([
      [word, ["a"]],
      ["label", [word]],
    ]);
    const sent = encodeFilters([`${word}=a`, `${word}=b`]);
    expect(sent).toBe(`{"${word.toLowerCase()}":["a","b"]}`);
  });

  test(`nothing has a label ${word} that was not given it`, () => {
    expect(labelHolds({}, word)).toBe(false);
    expect(labelHolds(JSON.parse(`{"${word}":"x"}`), word)).toBe(true);
    expect(labelHolds(JSON.parse(`{"${word}":"x"}`), `${word}=x`)).toBe(true);
  });

  test(`a label or a variable called ${word} comes into the log's attributes`, () => {
    const source = { labels: JSON.parse(`{"${word}":"1"}`), env: [`${word}=2`] };
    const found = (options: Record<string, string>) =>
      JSON.stringify(extraAttributes(source as never, options));
    expect(found({ labels: word })).toBe(`{"${word}":"1"}`);
    expect(found({ env: word })).toBe(`{"${word}":"2"}`);
  });

  test(`${word} is no option, no condition, no driver, no mode and no architecture that there is`, () => {
    expect(parseMountOptions([word]).params).toEqual([word]);
    expect(parsePlatformOrWhy(word)).toContain(word.toLowerCase());
    const depends = { "com.docker.compose.depends_on": `db:${word}:true` };
    const project = { "com.docker.compose.project": "p", "com.docker.compose.service": "s" };
    const order = startOrderOf({ Labels: { ...project, ...depends } });
    expect(order?.dependencies).toEqual([{ service: "db", condition: "started" }]);
    expect(() => checkLogOptions(word, {})).toThrow(`no log driver named '${word}'`);
    expect(() => parseRunMount(`type=${word},target=/a`)).toThrow("unsupported mount type");
    expect(() => parseRunMount(`${word}=a,target=/a`)).toThrow(`unexpected key '${word}'`);
    const failed = mountFailure({ device: "d", words: word } as never, "/t", "why");
    expect(failed).toContain(`data: ${word}`);
  });

  test(`${word} in daemon.json is no directive`, async () => {
    const path = `/tmp/berth-words-${process.pid}-${word}.json`;
    await Bun.write(path, `{"${word}":"x"}`);
    try {
      expect(() => parseDaemonOptions(["--config-file", path])).toThrow("directives don't match");
    } finally {
      await Bun.file(path).delete();
    }
  });
}

/** What a platform of such an architecture is called, or why it is none. */
function parsePlatformOrWhy(word: string): string {
  try {
    return parsePlatform(`linux/${word}`).architecture;
  } catch (error) {
    return (error as Error).message.toLowerCase();
  }
}
