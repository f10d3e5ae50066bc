/** Texts of images, hosts and clients, and records of the wire as a damaged or hostile process might send them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damaged, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { parseOutputs } from "./build-output.ts";
import { parseContextList } from "./context-list.ts";
import { parseMountOptions } from "./mount-options.ts";
import { parseNamedContexts } from "./named-contexts.ts";
import { parsePlatform } from "./platform.ts";
import { parseSubordinateIds, rangesOverlap } from "./subordinate-ids.ts";
import { resolveUser } from "./users.ts";
import { shimFrames } from "./wire.ts";
import { encodeRecords, RecordDecoder } from "./wire-codec.ts";

test("whatever /etc/passwd and /etc/group say, a user is a sound number or a Fault", async () => {
  const passwd = damagedText([
    "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n",
    "a:x:-1:4294967295:::\nb:x:2147483648:0\nc\n::::\n",
  ]);
  const group = damagedText(["root:x:0:\nwheel:x:10:u,root\nu:x:1000:\n", "g:x:99999999999:u\n"]);
  const spec = fc.oneof(
    fc.constantFrom("", "u", "u:wheel", "1000", "0:0", "nobody", "-1", "4294967296", ":", "::"),
    damagedText(["u:wheel", "1000:10"]),
  );
  await checkAll(fc.tuple(spec, passwd, group), async ([user, users, groups]) => {
    const found = await valueOrFault(() => resolveUser(user, users, groups, ["wheel"]));
    for (const id of found === undefined ? [] : [found.uid, found.gid, ...found.groups]) {
      expect(Number.isInteger(id)).toBe(true);
      expect(id >= 0 && id < 2 ** 31).toBe(true);
    }
  });
});

test("damaged records are records or a RangeError, however they are cut", async () => {
  const frames = [
    encodeRecords(shimFrames, { name: "state", phase: 1, pid: 5 }, { name: "attached" }),
    encodeRecords(shimFrames, {
      name: "failed",
      exec: 0,
      op: 99,
      index: 3,
      error: 2,
      detail: "/bin/sh",
    }),
    encodeRecords(shimFrames, {
      name: "retain_ports",
      protocols: [6, 17],
      addresses: ["0.0.0.0", "::"],
      ports: [80, 53],
    }),
  ];
  await checkAll(fc.tuple(damaged(frames), fc.integer({ min: 1, max: 50 })), ([bytes, size]) => {
    const decoder = new RecordDecoder(shimFrames);
    try {
      for (let at = 0; at < bytes.length; at += size)
        for (const record of decoder.push(bytes.subarray(at, at + size)))
          expect(Object.keys(shimFrames)).toContain(record.name);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
    }
  });
});

test("/etc/subuid, whatever it says: ranges of ids that there are, each of somebody", async () => {
  const lines = damagedText([
    "ann:100000:65536\nbob:165536:65536\n# no\n1000:231072:65536\n",
    "a:4294967294:1\nb:0:4294967295\n::\na:1\n",
  ]);
  await checkAll(lines, (text) => {
    for (const range of parseSubordinateIds(text)) {
      expect(range.owner).toMatch(/^[^:#\s]/);
      expect(range.count).toBeGreaterThan(0);
      expect(range.start + range.count).toBeLessThan(2 ** 32);
      expect(rangesOverlap(range, range)).toBe(true);
    }
  });
});

test("outputs, named contexts and lists of a context's files are read, or refused", async () => {
  const outputs = damagedText([
    '[{"Type":"local","Attrs":{}},{"Type":"oci","Attrs":{"compression":"zstd","force-compression":"true"}}]',
    '[{"Type":"image","Attrs":{"name":"a:b","push":"true"}}]',
  ]);
  await checkAll(outputs, (text) => valueOrFault(() => parseOutputs(text, ["a:b"])));
  const named = damagedText([
    '[{"name":"a","kind":"image","reference":"b:1"},{"name":"c","kind":"layout"}]',
    '[{"name":"d","kind":"directory","kept":{"key":"k","generation":"1","unchanged":true}}]',
  ]);
  await checkAll(named, (text) => valueOrFault(() => parseNamedContexts(text)));
  const lists = damagedText([
    '[["a",33188,1,2,"x",""],["b/c",16877,0,3,"","l"]]',
    '[["a",1,2,3,"",""]]',
  ]);
  await checkAll(lists, (text) => {
    const list = parseContextList(text);
    for (const [path, mode] of list ?? []) {
      expect(typeof path).toBe("string");
      expect(Number.isFinite(mode)).toBe(true);
      expect(path).not.toMatch(/(^|\/)\.{0,2}(\/|$)/);
    }
  });
});

test("platforms and mount options of any text", async () => {
  const platforms = damagedText(["linux/amd64", "linux/arm/v7", "arm64", "linux/x86_64/v2"]);
  await checkAll(platforms, async (text) => {
    const found = await valueOrFault(() => parsePlatform(text));
    if (found !== undefined) expect(typeof found.architecture).toBe("string");
  });
  const options = damagedText(["rbind,ro,nosuid", "rshared,rro,size=5m", "bind,private"]);
  await checkAll(options, (text) => {
    const words = text.split(",");
    const read = parseMountOptions(words);
    for (const param of read.params) expect(words).toContain(param);
    expect(read.set >= 0n && read.propagation >= 0n).toBe(true);
  });
});
