import { expect, test } from "bun:test";
import type { Kernel } from "../kernel/index.ts";
import { NetlinkChannel } from "./channel.ts";
import { encodeRequests } from "./netlink.ts";
import { FirewallTable } from "./table.ts";

const EPERM = 1;
const EOPNOTSUPP = 95;
/** The name "t", and the flags owner and persist. */
const LOCKED_TABLE = Buffer.from([6, 0, 1, 0, 0x74, 0, 0, 0, 8, 0, 2, 0, 0, 0, 0, 6]);

/** A kernel that says of each transaction what `refuses` has of it; what it watches never happens. */
function kernelThat(refuses: (locked: boolean) => number) {
  const seen = { watched: 0, transactions: [] as boolean[] };
  const kernel = {
    netlink: async (_netns: number, _protocol: number, messages: Uint8Array, last: number) => {
      const locked = Buffer.from(messages).includes(LOCKED_TABLE);
      seen.transactions.push(locked);
      const body = new Uint8Array(20);
      new DataView(body.buffer).setInt32(0, -refuses(locked), true);
      return encodeRequests([{ type: 2, flags: 0, body, what: "" }], last);
    },
    watchNetlink: () => {
      seen.watched++;
      return new Promise(() => {});
    },
  };
  return { seen, channel: new NetlinkChannel(kernel as unknown as Kernel) };
}

const nothing = () => ({ networks: [], ports: [], opened: [] });

test("the table is locked where the kernel can, and then nobody is watched", async () => {
  const { seen, channel } = kernelThat(() => 0);
  const table = new FirewallTable(channel, "t", true, nothing);
  await table.open();
  expect(table.about).toContainEqual(["Locked", "true"]);
  expect(seen).toEqual({ watched: 0, transactions: [true] });
});

test("where it cannot, or is not to, the table is made all the same and watched", async () => {
  const old = kernelThat((locked) => (locked ? EOPNOTSUPP : 0));
  const table = new FirewallTable(old.channel, "t", true, nothing);
  await table.open();
  await table.restore();
  expect(table.about).toContainEqual(["Locked", "false"]);
  expect(old.seen).toEqual({ watched: 1, transactions: [true, false, false] });
  const asked = kernelThat(() => 0);
  await new FirewallTable(asked.channel, "t", false, nothing).open();
  expect(asked.seen).toEqual({ watched: 1, transactions: [false] });
});

test("a table that a dying helper still holds is had a moment later; another refusal is told at once", async () => {
  let left = 3;
  const { seen, channel } = kernelThat(() => (left-- > 0 ? EPERM : 0));
  await new FirewallTable(channel, "t", true, nothing).open();
  expect(seen.transactions).toEqual([true, true, true, true]);
  const broken = kernelThat(() => 12);
  const table = new FirewallTable(broken.channel, "t", true, nothing);
  await expect(table.open()).rejects.toThrow("the kernel refuses berth's firewall table");
  expect(broken.seen.transactions).toHaveLength(1);
});
