/** Addresses of repositories, as a Dockerfile or a client writes them. */
import { expect, test } from "bun:test";
import { checkAll, damagedText } from "../../tests/kits/fuzz.ts";
import { gitSource, isFetched } from "./repositories.ts";

test("whatever is written, it is taken apart without a loss, or is no repository's address", async () => {
  const texts = damagedText([
    "https://example.com/a/b.git#main:sub/dir",
    "git@example.com:a/b.git#v1",
    "ssh://git@example.com:22/a.git",
    "git://example.com/a#:dir",
    "github.com/a/b#refs/heads/x:y:z",
    "file:///srv/a%20b.git#0123456789abcdef",
    "http://example.com/a.git/",
  ]);
  await checkAll(texts, (text) => {
    const source = gitSource(text);
    if (source === undefined) return;
    const { url, ref, directory } = source;
    expect(isFetched({ kind: "add" }, text)).toBe(true);
    expect(isFetched({ kind: "copy" }, text)).toBe(false);
    // It begins as one of the transports that are known, and so is no option.
    expect(url).toMatch(/^((git\+)?ssh|https?|git|file):\/\/|^[\w.-]+@[\w.-]+:/);
    expect(url.includes("#")).toBe(false);
    expect(ref.includes(":")).toBe(false);
    const fragment = text.split("#")[1];
    if (fragment !== undefined) expect([ref, `${ref}:${directory}`]).toContain(fragment);
  });
});
