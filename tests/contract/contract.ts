/**
 * The API's description (OpenAPI 2.0, as Docker writes it) taken apart: its operations, everything that each of them takes and
 * gives, and its schemas in the form that a JSON Schema validator knows.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv, { type ValidateFunction } from "ajv";

/** A schema of the description. */
export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly allOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly "x-nullable"?: boolean;
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header" | "body";
  readonly schema?: Schema;
}

interface DescribedResponse {
  readonly schema?: Schema;
  readonly headers?: Readonly<Record<string, unknown>>;
}

interface Described {
  readonly operationId: string;
  readonly tags?: readonly string[];
  readonly produces?: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly responses: Readonly<Record<string, DescribedResponse>>;
}

interface Description {
  readonly produces: readonly string[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly definitions: Readonly<Record<string, Schema>>;
}

/** One operation. */
export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly tag: string;
  readonly produces: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly responses: Readonly<Record<string, DescribedResponse>>;
}

/** What a value has, measured by a schema: the paths of its leaves, and of fields that the schema does not have. */
export interface Leaves {
  readonly known: Set<string>;
  readonly unknown: Set<string>;
}

const file = join(import.meta.dir, "../../../shared/specs/engine-api-v1.51.yaml");

/** Whether the description is there: it is not part of the project. */
export const contractExists = existsSync(file);

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;
const within = (low: number, high: number) => (value: number) => value >= low && value <= high;

/** Formats that the description uses. What is not here (binary, json) says nothing about a value's form. */
const textFormats: Readonly<Record<string, RegExp | ((value: string) => boolean)>> = {
  dateTime: time,
  "date-time": time,
  "ip-address": /^([\d.]+|[\da-f:]+)$/i,
  cidr: /^[\da-f.:]+\/\d+$/i,
  CIDR: /^[\da-f.:]+\/\d+$/i,
  uri: URL.canParse,
};
const numberFormats: Readonly<Record<string, (value: number) => boolean>> = {
  int64: within(-(2 ** 63), 2 ** 63),
  uint8: within(0, 2 ** 8 - 1),
  uint16: within(0, 2 ** 16 - 1),
  uint32: within(0, 2 ** 32 - 1),
  uint64: within(0, 2 ** 64),
};

function orNull(schema: Record<string, unknown>): Record<string, unknown> {
  if (Array.isArray(schema.enum)) schema.enum = [...schema.enum, null];
  if (typeof schema.type === "string") return { ...schema, type: [schema.type, "null"] };
  return { anyOf: [schema, { type: "null" }] };
}

/** A schema as JSON Schema. Beside $ref the dialect's own nullability counts, and nothing else. */
function jsonSchema(schema: Schema): Record<string, unknown> {
  if (schema.$ref !== undefined) {
    const reference = { $ref: schema.$ref };
    return schema["x-nullable"] === true ? orNull(reference) : reference;
  }
  const { type, format, required, minimum, maximum, properties, items, allOf } = schema;
  const known = format !== undefined && (textFormats[format] ?? numberFormats[format]);
  const out: Record<string, unknown> = {
    ...(type === undefined ? {} : { type }),
    ...(known ? { format } : {}),
    ...(schema.enum === undefined ? {} : { enum: [...schema.enum] }),
    ...(required === undefined ? {} : { required }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(items === undefined ? {} : { items: jsonSchema(items) }),
    ...(allOf === undefined ? {} : { allOf: allOf.map(jsonSchema) }),
    ...(properties === undefined ? {} : { properties: jsonSchemas(properties) }),
  };
  if (typeof schema.additionalProperties === "object")
    out.additionalProperties = jsonSchema(schema.additionalProperties);
  return schema["x-nullable"] === true ? orNull(out) : out;
}

function jsonSchemas(schemas: Readonly<Record<string, Schema>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, jsonSchema(schema)]),
  );
}

/** The description, read once. */
export class Contract {
  readonly operations = new Map<string, Operation>();
  private readonly definitions: Readonly<Record<string, Schema>>;
  private readonly ajv = new Ajv({
    strict: false,
    allErrors: true,
    verbose: true,
    validateSchema: false,
  });

  constructor() {
    const description = Bun.YAML.parse(readFileSync(file, "utf8")) as Description;
    this.definitions = description.definitions;
    for (const [name, test] of Object.entries(textFormats)) this.ajv.addFormat(name, test);
    for (const [name, validate] of Object.entries(numberFormats))
      this.ajv.addFormat(name, { type: "number", validate });
    this.ajv.addSchema({ definitions: jsonSchemas(this.definitions) }, "api");
    for (const [path, methods] of Object.entries(description.paths))
      for (const [method, described] of Object.entries(methods))
        this.operations.set(described.operationId, {
          id: described.operationId,
          method: method.toUpperCase(),
          path,
          tag: described.tags?.[0] ?? "",
          produces: described.produces ?? description.produces,
          parameters: described.parameters ?? [],
          responses: described.responses,
        });
  }

  /** An operation that must be there. */
  operation(id: string): Operation {
    const found = this.operations.get(id);
    if (found === undefined) throw new Error(`the contract has no operation ${id}`);
    return found;
  }

  private readonly compiled = new Map<Schema, ValidateFunction>();

  /** What is wrong with a value, as lines; and where it is null, which the schema does not allow. */
  faults(schema: Schema, value: unknown): { faults: string[]; nulls: string[] } {
    let validate = this.compiled.get(schema);
    if (validate === undefined) {
      const text = JSON.stringify(jsonSchema(schema)).replaceAll('"#/', '"api#/');
      validate = this.ajv.compile(JSON.parse(text) as object);
      this.compiled.set(schema, validate);
    }
    validate(value);
    const faults: string[] = [];
    const nulls: string[] = [];
    for (const { instancePath, message, params, data } of validate.errors ?? [])
      if (data === null) nulls.push(instancePath.slice(1).replaceAll("/", "."));
      else faults.push(`${instancePath} ${message} ${JSON.stringify(params)}`);
    return { faults, nulls };
  }

  /** A schema with references and `allOf` resolved; `seen` are the references that led here. */
  private resolve(schema: Schema, seen: readonly string[]): { plain: Schema; seen: string[] } {
    if (schema.$ref !== undefined) {
      if (seen.includes(schema.$ref)) return { plain: {}, seen: [...seen] };
      const target = this.definitions[schema.$ref.replace("#/definitions/", "")];
      if (target === undefined) throw new Error(`the contract lacks ${schema.$ref}`);
      return this.resolve(target, [...seen, schema.$ref]);
    }
    if (schema.allOf === undefined) return { plain: schema, seen: [...seen] };
    const parts = [{ ...schema, allOf: undefined } as unknown as Schema, ...schema.allOf].map(
      (part) => this.resolve(part, seen),
    );
    const properties = Object.assign({}, ...parts.map(({ plain }) => plain.properties ?? {}));
    const merged = Object.assign({}, ...parts.map(({ plain }) => plain)) as Schema;
    return {
      plain: Object.keys(properties).length === 0 ? merged : { ...merged, properties },
      seen: parts.flatMap((part) => part.seen),
    };
  }

  /** The paths of every leaf that a schema knows: "State.Pid", "Mounts[].Type", "Labels{}". */
  leavesOf(schema: Schema, path = "", before: readonly string[] = []): string[] {
    const { plain, seen } = this.resolve(schema, before);
    if (plain.properties !== undefined) {
      const named = Object.entries(plain.properties).flatMap(([key, child]) =>
        this.leavesOf(child, path === "" ? key : `${path}.${key}`, seen),
      );
      return [...new Set(named)];
    }
    if (plain.items !== undefined) return this.leavesOf(plain.items, `${path}[]`, seen);
    if (typeof plain.additionalProperties === "object")
      return this.leavesOf(plain.additionalProperties, `${path}{}`, seen);
    return [path];
  }

  /** The same of a value: what occurs in it. null and empty lists are no occurrence of what could be there. */
  leavesIn(schema: Schema, value: unknown): Leaves {
    const leaves: Leaves = { known: new Set(), unknown: new Set() };
    this.collect(schema, value, "", [], leaves);
    return leaves;
  }

  private collect(
    schema: Schema,
    value: unknown,
    path: string,
    before: readonly string[],
    leaves: Leaves,
  ): void {
    if (value === null || value === undefined) return;
    const { plain, seen } = this.resolve(schema, before);
    const rest = plain.additionalProperties;
    if (plain.items !== undefined && Array.isArray(value)) {
      for (const item of value) this.collect(plain.items, item, `${path}[]`, seen, leaves);
    } else if (
      typeof value === "object" &&
      (plain.properties !== undefined || typeof rest === "object")
    ) {
      for (const [key, item] of Object.entries(value)) {
        const child = plain.properties?.[key];
        const name = path === "" ? key : `${path}.${key}`;
        if (child !== undefined) this.collect(child, item, name, seen, leaves);
        else if (typeof rest === "object") this.collect(rest, item, `${path}{}`, seen, leaves);
        else leaves.unknown.add(name);
      }
    } else leaves.known.add(path);
  }

  /** Everything that is to be accounted for of an operation, as "query all", "status 404" or "200 State.Pid". */
  itemsOf(operation: Operation): string[] {
    const taken = operation.parameters.flatMap(({ in: place, name, schema }) =>
      place === "body"
        ? this.leavesOf(schema ?? {}).map((leaf) => `body ${leaf}`.trim())
        : [`${place} ${name}`],
    );
    const given = Object.entries(operation.responses).flatMap(([status, { schema, headers }]) => {
      const fields =
        schema === undefined || Number(status) >= 400
          ? []
          : this.leavesOf(schema).map((leaf) => `${status} ${leaf}`.trim());
      const heads = Object.keys(headers ?? {}).map((name) => `${status} header ${name}`);
      return [`status ${status}`, ...fields, ...heads];
    });
    return [...new Set([...taken, ...given])];
  }
}
