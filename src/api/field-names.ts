/**
 * Names of JSON fields as Go's decoder takes them: in any case, the exact one first. Clients that are written by hand send
 * {"image": "busybox", "cmd": ["true"]}, and dockerd understands them. Pure.
 */
import type { z } from "zod";

function nameIn(shape: object, key: string): string {
  if (Object.hasOwn(shape, key)) return key;
  const lower = key.toLowerCase();
  return Object.keys(shape).find((name) => name.toLowerCase() === lower) ?? key;
}

function entriesOf(value: unknown): [string, unknown][] | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.entries(value)
    : undefined;
}

/** A value whose fields are called as the schema calls them. What the schema does not know stays as it is. */
export function withSchemaNames(value: unknown, schema: z.core.$ZodType): unknown {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case "optional":
    case "nullable":
      return withSchemaNames(value, def.innerType);
    case "pipe":
      return withSchemaNames(value, def.in);
    case "array":
      return Array.isArray(value) ? value.map((one) => withSchemaNames(one, def.element)) : value;
    case "record":
      return renamed(value, (key) => [key, def.valueType]);
    case "object":
      return renamed(value, (key) => {
        const name = nameIn(def.shape, key);
        // Every object has a "constructor", which is no schema.
        return [name, Object.hasOwn(def.shape, name) ? def.shape[name] : undefined];
      });
    default:
      return value;
  }
}

function renamed(
  value: unknown,
  naming: (key: string) => readonly [name: string, schema: z.core.$ZodType | undefined],
): unknown {
  const entries = entriesOf(value);
  if (entries === undefined) return value;
  const exact = new Set(entries.map(([key]) => key));
  return Object.fromEntries(
    entries.flatMap(([key, item]) => {
      const [name, schema] = naming(key);
      if (name !== key && exact.has(name)) return [];
      return [[name, schema === undefined ? item : withSchemaNames(item, schema)]];
    }),
  );
}
