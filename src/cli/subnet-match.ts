/**
 * Which subnet an address belongs to, as far as the command line has to know: what makes no sense the daemon refuses.
 */
import { BlockList, isIP } from "node:net";

/** Whether a text is an address with a number of bits. */
export function isBlock(text: string): boolean {
  const [address = "", bits = "", more] = text.split("/");
  const most = isIP(address) === 6 ? 128 : 32;
  return (
    isIP(address) !== 0 && more === undefined && /^\d{1,3}$/.test(bits) && Number(bits) <= most
  );
}

/** Whether an address, or the first of a block, is in a subnet. */
export function isWithin(address: string, subnet: string): boolean {
  const [base = "", bits = ""] = subnet.split("/");
  const [first = ""] = address.split("/");
  const family = isIP(base);
  if (family === 0 || isIP(first) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const block = new BlockList();
  block.addSubnet(base, Number(bits), kind);
  return block.check(first, kind);
}
