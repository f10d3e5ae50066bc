/**
 * The form of a seccomp profile that a user has written: each field is of its type, so that whoever reads it further finds
 * what the type promises. Absent and null are the same, as in Go. Pure.
 */

type Json = Readonly<Record<string, unknown>>;

const isAbsent = (value: unknown) => value === undefined || value === null;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown) => isAbsent(value) || typeof value === "string";
const isCount = (value: unknown) =>
  isAbsent(value) || (Number.isInteger(value) && (value as number) >= 0);
const isTexts = (value: unknown) =>
  isAbsent(value) || (Array.isArray(value) && value.every((one) => typeof one === "string"));

/** Elements of a list that may be absent; undefined for what is no list of objects. */
function objectsIn(value: unknown): readonly Json[] | undefined {
  const list = value ?? [];
  return Array.isArray(list) && list.every(isObject) ? list : undefined;
}

function wrongCondition(value: unknown): string | undefined {
  if (isAbsent(value)) return undefined;
  if (!isObject(value)) return "is no object";
  if (!isTexts(value.arches)) return "has arches that are no list of texts";
  if (!isTexts(value.caps)) return "has caps that are no list of texts";
  return isText(value.minKernel) ? undefined : "has a minKernel that is no text";
}

function wrongCall(call: Json): string | undefined {
  if (!isTexts(call.names) || !isText(call.name)) return "its names are no list of texts";
  if (!isCount(call.errnoRet)) return "its errnoRet is no error number";
  const args = objectsIn(call.args);
  if (args === undefined) return "its args are no list of conditions";
  for (const { index, value, valueTwo } of args)
    if (
      !Number.isInteger(index) ||
      !Number.isInteger(value) ||
      !isCount(value) ||
      !isCount(valueTwo)
    )
      return "a condition of its args has no whole numbers";
  const includes = wrongCondition(call.includes);
  if (includes !== undefined) return `its includes ${includes}`;
  const excludes = wrongCondition(call.excludes);
  return excludes === undefined ? undefined : `its excludes ${excludes}`;
}

/** What is wrong with a profile's form, in words; undefined when nothing is. */
export function wrongForm(profile: Json): string | undefined {
  if (!Array.isArray(profile.flags ?? [])) return "flags is no list";
  if (!isTexts(profile.architectures)) return "architectures is no list of texts";
  if (!isText(profile.defaultAction)) return "defaultAction is no text";
  if (!isCount(profile.defaultErrnoRet)) return "defaultErrnoRet is no error number";
  const maps = objectsIn(profile.archMap);
  if (maps === undefined) return "archMap is no list of objects";
  for (const { architecture, subArchitectures } of maps)
    if (!isText(architecture) || !isTexts(subArchitectures))
      return "archMap has names of architectures that are no texts";
  const calls = objectsIn(profile.syscalls);
  if (calls === undefined) return "syscalls is no list of objects";
  for (const [at, call] of calls.entries()) {
    const wrong = wrongCall(call);
    if (wrong !== undefined) return `syscalls[${at}]: ${wrong}`;
  }
  return undefined;
}
