/** `-v`, `--mount` and `--tmpfs`: any text is read or refused, and nothing of it is lost. */
import { expect, test } from "bun:test";
import { checkAll, damagedText } from "../../../tests/kits/fuzz.ts";
import { UsageError } from "../flags.ts";
import { parseMount, parseTmpfs, parseVolumes, splitCsv } from "./mounts.ts";

const specs = [
  "type=bind,src=/etc,dst=/x,readonly,bind-propagation=rslave",
  "type=volume,source=name,target=/x,volume-opt=type=nfs,volume-label=a=b,volume-nocopy",
  'type=volume,dst=/x,"volume-opt=o=addr=1.2.3.4,vers=4",volume-driver=local,volume-subpath=a/b',
  "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770",
  "type=image,src=busybox,dst=/x,image-subpath=etc",
  "type=bind,src=.,dst=/x,idmap=match-user,bind-recursive=readonly",
];

test("--mount of any text is a mount with a target, or is refused in one line that quotes it", async () => {
  await checkAll(damagedText(specs), (text) => {
    try {
      expect(parseMount(text).Target).toBeTruthy();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      expect(error.message).toStartWith(
        `invalid argument ${JSON.stringify(text)} for "--mount" flag: `,
      );
    }
  });
});

test("a key that every object has is none of --mount's", () => {
  for (const key of ["constructor", "__proto__", "toString", "valueOf", "hasOwnProperty"])
    for (const field of [key, `${key}=x`])
      expect(() => parseMount(`type=bind,src=/a,dst=/b,${field}`)).toThrow(UsageError);
});

test("fields come back as they were quoted", async () => {
  await checkAll(damagedText(specs), (text) => {
    const quoted = `"${text.replaceAll('"', '""')}"`;
    expect(splitCsv(`a,${quoted},,b`)).toEqual(["a", text, "", "b"]);
  });
});

test("of every -v and --tmpfs something reaches the daemon, or an error the user", async () => {
  const volumes = ["/etc:/x:ro", "name:/x", "/x", "./here:/y:z", "__proto__", "a:b:c:d", ""];
  await checkAll(damagedText(volumes), (text) => {
    let read: ReturnType<typeof parseVolumes>;
    try {
      read = parseVolumes([text]);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
      expect(String(error)).toMatch(/^Error: invalid /);
      return;
    }
    expect(read.binds.length + Object.keys(read.anonymous).length).toBe(1);
  });
  await checkAll(damagedText(["/t:size=1m,ro", "/t", "__proto__:x", ":", ""]), (text) => {
    const [[place, options] = []] = Object.entries(parseTmpfs([text]));
    expect(text).toBe(text.includes(":") ? `${place}:${options}` : `${place}`);
  });
});
