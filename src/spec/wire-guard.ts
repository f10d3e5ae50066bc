/**
 * What the guard (native/helper/guard.c) is told once, by root, and nobody changes: what a daemon that runs as an ordinary
 * user may ask of it.
 */
import { kind } from "./wire-kinds.ts";

/** The guard reads one `policy` from its standard input, in the records that wire.ts describes. */
export const guardFrames = {
  policy: kind(
    1,
    "uid, gid: who may ask, besides root; uid_map, gid_map: of the user namespace that is made for them; own_uids, own_gids: the host's first ids for what they own as 1, 2, … 65535; pool_uids, pool_gids: pairs of a first id and a number of ids, in which containers have 65536 each; sources: directories whose trees may be bound, read_only: 1 for each of them that may not be written; addresses: networks of which published ports may be, prefixes: their lengths; ports: pairs of the first and the last of them; links: netlink messages that make what leads out of the network namespace, which is descriptor 12, removal: those that take it away, inside: those for that namespace, firewall: nfnetlink messages, all for as long as the guard lives; cgroups: directories to be removed at the end; log: where refusals are noted",
    {
      uid: "u32",
      gid: "u32",
      uid_map: "str",
      gid_map: "str",
      own_uids: "u32",
      own_gids: "u32",
      pool_uids: "u32s",
      pool_gids: "u32s",
      sources: "strs",
      read_only: "u32s",
      addresses: "strs",
      prefixes: "u32s",
      ports: "u32s",
      links: "bytes",
      removal: "bytes",
      inside: "bytes",
      firewall: "bytes",
      cgroups: "strs",
      log: "str",
    },
  ),
} as const;
