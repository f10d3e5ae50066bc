/**
 * Which ids the host's lists (/etc/subuid, /etc/subgid) have for whom.
 */
import { existsSync, readFileSync } from "node:fs";
import { parseSubordinateIds } from "../spec/subordinate-ids.ts";
import { remapIds, type SubordinateFiles, type UserIds } from "./user-ids.ts";

/** Whose ids "default" stands for, as with dockerd. */
const DEFAULT_USER = "dockremap";

function listed(path: string) {
  return existsSync(path) ? parseSubordinateIds(readFileSync(path, "utf8")) : [];
}

/** Both lists. */
export function subordinateFiles(): SubordinateFiles {
  return { uids: listed("/etc/subuid"), gids: listed("/etc/subgid") };
}

/** A name and the number that goes with it, since both files may have either. */
function aliases(file: string, name: string): string[] {
  const rows = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
  const row = rows
    .map((line) => line.split(":"))
    .find(([own, , id]) => own === name || id === name);
  return row === undefined ? [name] : [name, row[0] ?? name, row[2] ?? name];
}

/** The ids of "remap:USER[:GROUP]". Throws a Fault "invalid" for whom no ranges are listed for. */
export function idsOfRemap(mode: string): UserIds {
  const [, given = "", group] = mode.split(":");
  const user = given === "default" ? DEFAULT_USER : given;
  return remapIds(
    subordinateFiles(),
    aliases("/etc/passwd", user),
    group === undefined ? aliases("/etc/passwd", user) : aliases("/etc/group", group),
  );
}
