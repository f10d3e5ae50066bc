/** An image's password files, and records of the wire as a damaged or hostile process might send them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damaged, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
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
