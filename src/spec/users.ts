/**
 * Users and groups by name, looked up in the image's own files: pure.
 */
import { fault } from "../base/errors.ts";

/** A user with everything that a process needs of it. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
}

/** The kernel's own limit for ids that are not -1. */
const ID_MAX = 2 ** 31 - 1;

interface Passwd {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

function rows(text: string, columns: number): string[][] {
  return text
    .split("\n")
    .map((line) => line.trim().split(":"))
    .filter((row) => row.length >= columns && row[0] !== "");
}

/** What a file says is an id; anything else, which the kernel could take for root's, makes its line count for nothing. */
function isId(text: string): boolean {
  return /^\d+$/.test(text) && Number(text) <= ID_MAX;
}

function passwdOf(text: string): Passwd[] {
  return rows(text, 4)
    .filter(([, , uid = "", gid = ""]) => isId(uid) && isId(gid))
    .map(([name = "", , uid, gid, , home = ""]) => ({
      name,
      uid: Number(uid),
      gid: Number(gid),
      home,
    }));
}

function groupsOf(text: string): Group[] {
  return rows(text, 3)
    .filter(([, , gid = ""]) => isId(gid))
    .map(([name = "", , gid, members = ""]) => ({
      name,
      gid: Number(gid),
      members: members.split(",").filter(Boolean),
    }));
}

/** A group's number by its name, with the text of /etc/group; undefined for one that is not there. */
export function groupNumber(text: string, name: string): number | undefined {
  return groupsOf(text).find((group) => group.name === name)?.gid;
}

/** A number of at most 2³¹-1; undefined for what is no number, an error for what is one too large (CVE-2024-40635). */
function numeric(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > ID_MAX)
    throw fault("invalid", "user-id", "uids and gids must be in range 0-2147483647");
  return value;
}

/**
 * Resolves "user", "user:group", "uid:gid" with the texts of /etc/passwd and /etc/group. Supplementary groups are the
 * user's own unless a group was named (CVE-2022-36109). Throws Faults in Docker's words.
 */
export function resolveUser(
  spec: string,
  passwd: string,
  group: string,
  extra: readonly string[] = [],
): ResolvedUser {
  const [userPart = "", groupPart] = spec.split(":", 2);
  const users = passwdOf(passwd);
  const groups = groupsOf(group);
  const wanted = userPart === "" ? "0" : userPart;
  const uid = numeric(wanted);
  // A number is never a name, or a line of the image's files could make root of a number (CVE-2016-3697).
  const entry = users.find((user) => (uid === undefined ? user.name === wanted : user.uid === uid));
  if (entry === undefined && uid === undefined)
    throw fault(
      "invalid",
      "no-such-user",
      `unable to find user ${userPart}: no matching entries in passwd file`,
    );
  const groupId = (name: string): number => {
    const id = numeric(name) ?? groups.find((candidate) => candidate.name === name)?.gid;
    if (id === undefined)
      throw fault(
        "invalid",
        "no-such-group",
        `unable to find group ${name}: no matching entries in group file`,
      );
    return id;
  };
  const gid = groupPart ? groupId(groupPart) : (entry?.gid ?? 0);
  const own =
    groupPart || entry === undefined
      ? []
      : groups.filter(({ members }) => members.includes(entry.name)).map((known) => known.gid);
  // The primary group is among them, so that dropping it is no way around a group's denial (CVE-2022-36109).
  const supplementary = [...new Set([gid, ...own, ...extra.map(groupId)])];
  return { uid: entry?.uid ?? uid ?? 0, gid, groups: supplementary, home: entry?.home || "/" };
}
