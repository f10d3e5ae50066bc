/**
 * A template carried out over a value, with Go's semantics and messages. Pure.
 */
import { sprint } from "./fmt.ts";
import {
  type Branch,
  type Command,
  type Inclusion,
  type Node,
  type Operand,
  type Pipeline,
  showCommand,
  showNode,
  showOperand,
} from "./nodes.ts";
import type { Template } from "./parse.ts";
import { quote } from "./quote.ts";
import {
  assignable,
  type Callable,
  type Field,
  GoError,
  indirect,
  indirectInterface,
  intValue,
  isFloat,
  isSigned,
  isUnsigned,
  sortedKeys,
  stringValue,
  type Type,
  truth,
  types,
  Value,
  zeroOf,
} from "./values.ts";

/** A template that cannot be carried out. The message is Go's. */
export class ExecError extends Error {
  /** What had been written before. */
  written = "";
}

/** What an execution goes by. */
export interface Options {
  readonly functions: Readonly<Record<string, Callable>>;
  /** Whether a key that a map does not have is an error; otherwise it is `<no value>`. */
  readonly missingKeyIsError?: boolean;
}

/** What came down a pipe; undefined: nothing has. */
type Final = { readonly value: Value | undefined } | undefined;
/** How a list of nodes ended. */
type Leap = "break" | "continue" | undefined;
type Place = Node | Operand | Command;

const MAX_DEPTH = 1000;
/** An execution that has written so much is stopped: a range over a huge number is not worth the memory. */
const MAX_OUTPUT = 64 * 2 ** 20;

interface Variable {
  readonly name: string;
  value: Value | undefined;
}

/** What a struct has by this name, in itself or in what is embedded in it. */
function fieldOf(struct: Value, name: string): Value | undefined {
  const own = struct.fields.get(name);
  if (own !== undefined) return own;
  for (const field of struct.type.fields ?? []) {
    if (field.embedded !== true) continue;
    const { value } = indirect(struct.fields.get(field.name));
    const found = value?.kind === "struct" ? fieldOf(value, name) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether a struct's type has the field, in itself or embedded. */
function hasField(type: Type | undefined, name: string): boolean {
  const within = (field: Field) =>
    field.name === name ||
    (field.embedded === true &&
      hasField(field.type.kind === "pointer" ? field.type.elem : field.type, name));
  return type?.kind === "struct" && (type.fields ?? []).some(within);
}

/** One execution. */
class Run {
  readonly output: string[] = [];
  private written = 0;
  private place: Place | undefined;
  private name: string;
  private depth = 0;
  private variables: Variable[];

  constructor(
    private readonly template: Template,
    private readonly options: Options,
    root: Value | undefined,
  ) {
    this.name = template.name;
    this.variables = [{ name: "$", value: root }];
  }

  /** Anything that goes wrong has the place where it did. */
  private error(message: string): ExecError {
    const { place } = this;
    if (place === undefined) return new ExecError(`template: ${this.name}: ${message}`);
    const before = this.template.source.slice(0, place.at);
    const line = before.split("\n");
    const column = Buffer.byteLength(line.at(-1) ?? "");
    const shown = this.show(place);
    return new ExecError(
      `template: ${this.template.name}:${line.length}:${column}: executing ${quote(this.name)} at <${shown}>: ${message}`,
    );
  }

  private show(place: Place): string {
    if (!("kind" in place)) return showCommand(place);
    switch (place.kind) {
      case "text":
      case "action":
      case "if":
      case "with":
      case "range":
      case "break":
      case "continue":
      case "template":
        return showNode(place);
      default:
        return showOperand(place);
    }
  }

  private write(text: string): void {
    this.written += text.length;
    if (this.written > MAX_OUTPUT) throw this.error("the output is too large");
    this.output.push(text);
  }

  nodes(nodes: readonly Node[], dot: Value | undefined): Leap {
    for (const node of nodes) {
      const leap = this.node(node, dot);
      if (leap !== undefined) return leap;
    }
    return undefined;
  }

  private node(node: Node, dot: Value | undefined): Leap {
    this.place = node;
    switch (node.kind) {
      case "text":
        this.write(node.text);
        return undefined;
      case "action": {
        const value = this.pipeline(node.pipeline, dot);
        if (node.pipeline.variables.length === 0) this.print(node, value);
        return undefined;
      }
      case "break":
      case "continue":
        return node.kind;
      case "template":
        this.inclusion(node, dot);
        return undefined;
      case "range":
        return this.scoped(() => this.range(node, dot));
      default:
        return this.scoped(() => this.condition(node, dot));
    }
  }

  private scoped<T>(run: () => T): T {
    const mark = this.variables.length;
    const result = run();
    this.variables.length = mark;
    return result;
  }

  private print(node: Node, value: Value | undefined): void {
    this.place = node;
    const behind = value?.kind === "pointer" && value.type.text === undefined;
    const shown = behind ? indirect(value).value : value;
    if (shown === undefined) return this.write("<no value>");
    if (shown.kind === "func")
      throw this.error(`can't print ${showNode(node)} of type ${shown.type.name}`);
    this.write(sprint([shown]));
  }

  private condition(node: Branch, dot: Value | undefined): Leap {
    const value = this.pipeline(node.pipeline, dot);
    if (truth(value)) return this.nodes(node.body, node.kind === "with" ? value : dot);
    return this.nodes(node.otherwise ?? [], dot);
  }

  private inclusion(node: Inclusion, dot: Value | undefined): void {
    const body = this.template.defined.get(node.name);
    if (body === undefined) throw this.error(`template ${quote(node.name)} not defined`);
    if (this.depth >= MAX_DEPTH) throw this.error(`exceeded maximum template depth (${MAX_DEPTH})`);
    const data = node.pipeline && this.pipeline(node.pipeline, dot);
    const { name, variables } = this;
    this.name = node.name;
    this.variables = [{ name: "$", value: data }];
    this.depth++;
    this.nodes(body, data);
    this.depth--;
    this.name = name;
    this.variables = variables;
  }

  private range(node: Branch, dot: Value | undefined): Leap {
    const { value } = indirect(this.pipeline(node.pipeline, dot));
    let any = false;
    for (const [index, item] of this.iterations(node, value)) {
      any = true;
      this.assignRange(node.pipeline, index, item);
      const leap = this.scoped(() => this.nodes(node.body, item));
      if (leap === "break") break;
    }
    return any ? undefined : this.nodes(node.otherwise ?? [], dot);
  }

  private *iterations(
    node: Branch,
    value: Value | undefined,
  ): Iterable<[Value | undefined, Value | undefined]> {
    if (value === undefined) return;
    if (isSigned(value.kind) || isUnsigned(value.kind)) {
      if (node.pipeline.variables.length > 1)
        throw this.error(`can't use ${sprint([value])} to iterate over more than one variable`);
      for (let i = 0n; i < value.int; i++) yield [undefined, new Value(value.type, i)];
    } else if (value.kind === "slice") {
      for (const [at, item] of value.items.entries()) yield [intValue(at), item];
    } else if (value.kind === "map") {
      const keyType = value.type.key ?? types.string;
      for (const key of sortedKeys(value)) yield [new Value(keyType, key), value.entries.get(key)];
    } else throw this.error(`range can't iterate over ${sprint([value])}`);
  }

  private assignRange(pipeline: Pipeline, index: Value | undefined, item: Value | undefined): void {
    const { variables, assigns } = pipeline;
    const names = variables.map(({ path }) => path[0] ?? "");
    const [first = "", second = ""] = names;
    if (assigns) {
      if (names.length === 1) this.set(first, item);
      if (names.length !== 2) return;
      this.set(first, index);
      this.set(second, item);
      return;
    }
    const top = (n: number, value: Value | undefined) => {
      const variable = this.variables.at(-n);
      if (variable !== undefined) variable.value = value;
    };
    if (names.length > 0) top(1, item);
    if (names.length > 1) top(2, index);
  }

  private variable(name: string): Variable {
    const found = this.variables.findLast((one) => one.name === name);
    if (found === undefined) throw this.error(`undefined variable: ${name}`);
    return found;
  }

  private set(name: string, value: Value | undefined): void {
    this.variable(name).value = value;
  }

  private pipeline(pipeline: Pipeline, dot: Value | undefined): Value | undefined {
    this.place = pipeline;
    let final: Final;
    for (const command of pipeline.commands) {
      const value = this.command(command, dot, final);
      final = { value: indirectInterface(value) };
    }
    const value = final?.value;
    for (const { path } of pipeline.variables) {
      if (pipeline.assigns) this.set(path[0] ?? "", value);
      else this.variables.push({ name: path[0] ?? "", value });
    }
    return value;
  }

  private command(command: Command, dot: Value | undefined, final: Final): Value | undefined {
    const [first, ...args] = command.operands;
    if (first === undefined) return undefined;
    const plain = () => {
      if (args.length > 0 || final !== undefined)
        throw this.error(`can't give argument to non-function ${showOperand(first)}`);
    };
    switch (first.kind) {
      case "field":
      case "chain":
      case "variable":
        return this.chain(first, dot, args, final);
      case "identifier":
        return this.call(first, command, dot, args, final);
      case "pipeline":
        plain();
        return this.pipeline(first, dot);
      default:
        this.place = first;
        plain();
        if (first.kind === "nil") throw this.error("nil is not a command");
        return this.constant(first, dot);
    }
  }

  private constant(operand: Operand, dot: Value | undefined): Value | undefined {
    switch (operand.kind) {
      case "bool":
        return new Value(types.bool, operand.value);
      case "dot":
        return dot;
      case "string":
        return stringValue(operand.text);
      case "number": {
        this.place = operand;
        const { text, number } = operand;
        const notInteger =
          /[.eEpP]/.test(text) &&
          !text.startsWith("'") &&
          (!/^0[xX]/.test(text) || /[pP]/.test(text));
        if (number.float !== undefined && notInteger) return new Value(types.float64, number.float);
        if (number.int === undefined) throw this.error(`${text} overflows int`);
        return intValue(number.int);
      }
      default:
        throw this.error(
          `can't handle assignment of ${showOperand(operand)} to empty interface argument`,
        );
    }
  }

  /** A field, a variable or a parenthesis, with the names behind it; the last may be a method with arguments. */
  private chain(
    operand: Extract<Operand, { kind: "field" | "variable" | "chain" }>,
    dot: Value | undefined,
    args: readonly Operand[],
    final: Final,
  ): Value | undefined {
    this.place = operand;
    let receiver = dot;
    let { path } = operand;
    if (operand.kind === "variable") {
      receiver = this.variable(path[0] ?? "").value;
      path = path.slice(1);
      if (path.length === 0) {
        if (args.length > 0 || final !== undefined)
          throw this.error(`can't give argument to non-function ${showOperand(operand)}`);
        return receiver;
      }
    } else if (operand.kind === "chain") {
      if (operand.node.kind === "nil")
        throw this.error(`indirection through explicit nil in ${showOperand(operand)}`);
      receiver = this.argument(operand.node, types.reflect, dot);
    }
    for (const name of path.slice(0, -1))
      receiver = this.field(operand, name, receiver, dot, [], undefined);
    return this.field(operand, path.at(-1) ?? "", receiver, dot, args, final);
  }

  private field(
    place: Operand,
    name: string,
    wrapped: Value | undefined,
    dot: Value | undefined,
    args: readonly Operand[],
    final: Final,
  ): Value | undefined {
    // Arguments that were evaluated before have left their own place.
    if (wrapped === undefined) {
      if (this.options.missingKeyIsError)
        throw this.error(`nil data; no entry for key ${quote(name)}`);
      return undefined;
    }
    const typeName = wrapped.type.name;
    const { value: receiver = wrapped, isNil } = indirect(wrapped);
    if (receiver.kind === "interface" && isNil)
      throw this.error(`nil pointer evaluating ${typeName}.${name}`);
    const methods = receiver.type.methods?.(receiver);
    if (methods !== undefined && Object.hasOwn(methods, name))
      return this.invoke(methods[name] as Callable, name, place, dot, args, final);
    const hasArguments = args.length > 0 || final !== undefined;
    if (receiver.kind === "struct" && hasField(receiver.type, name)) {
      if (hasArguments) throw this.error(`${name} has arguments but cannot be invoked as function`);
      const found = fieldOf(receiver, name);
      if (found === undefined)
        throw this.error(`reflect: indirection through nil pointer to embedded struct field`);
      return found;
    }
    if (receiver.kind === "map") {
      if (hasArguments) throw this.error(`${name} is not a method but has arguments`);
      const found = receiver.entries.get(name);
      if (found === undefined && (this.options.missingKeyIsError || receiver.type.isClosed))
        throw this.error(`map has no entry for key ${quote(name)}`);
      return found;
    }
    if (
      receiver.kind === "pointer" &&
      isNil &&
      (receiver.type.elem?.kind !== "struct" || hasField(receiver.type.elem, name))
    )
      throw this.error(`nil pointer evaluating ${typeName}.${name}`);
    throw this.error(`can't evaluate field ${name} in type ${typeName}`);
  }

  private call(
    { name, at, kind }: Extract<Operand, { kind: "identifier" }>,
    place: Place,
    dot: Value | undefined,
    args: readonly Operand[],
    final: Final,
  ): Value | undefined {
    this.place = { name, at, kind };
    const { functions } = this.options;
    const callable = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (callable === undefined) throw this.error(`${quote(name)} is not a defined function`);
    return this.invoke(callable, name, place, dot, args, final);
  }

  private invoke(
    callable: Callable,
    name: string,
    place: Place,
    dot: Value | undefined,
    args: readonly Operand[],
    final: Final,
  ): Value | undefined {
    const { params, variadic = false } = callable;
    const count = args.length + (final === undefined ? 0 : 1);
    const fixed = variadic ? params.length - 1 : params.length;
    if (variadic && count < fixed)
      throw this.error(
        `wrong number of args for ${name}: want at least ${fixed} got ${args.length}`,
      );
    if (!variadic && count !== fixed)
      throw this.error(`wrong number of args for ${name}: want ${fixed} got ${count}`);
    const typeAt = (index: number) => params[Math.min(index, params.length - 1)] ?? types.any;
    if (name === "and" || name === "or") return this.shortCircuit(name === "or", dot, args, final);
    const values = args.map((arg, index) => this.argument(arg, typeAt(index), dot));
    if (final !== undefined) values.push(this.validate(final.value, typeAt(count - 1)));
    try {
      if (name === "call")
        return callable.call([stringValue(this.calleeName(args, final)), ...values]);
      return callable.call(values);
    } catch (error) {
      if (!(error instanceof GoError)) throw error;
      this.place = place;
      throw this.error(`error calling ${name}: ${error.message}`);
    }
  }

  private calleeName(args: readonly Operand[], final: Final): string {
    const [first] = args;
    if (first !== undefined) return showOperand(first);
    const value = final?.value;
    return value?.kind === "string" ? value.string : `<${value?.type.name ?? "invalid"} Value>`;
  }

  private shortCircuit(
    until: boolean,
    dot: Value | undefined,
    args: readonly Operand[],
    final: Final,
  ): Value | undefined {
    let value: Value | undefined;
    for (const arg of args) {
      value = this.argument(arg, types.reflect, dot);
      if (truth(value) === until) return value;
    }
    return final === undefined ? value : final.value;
  }

  /** An operand as an argument of this type. */
  private argument(operand: Operand, type: Type, dot: Value | undefined): Value | undefined {
    this.place = operand;
    switch (operand.kind) {
      case "dot":
        return this.validate(dot, type);
      case "nil":
        if (["reflect", "interface", "slice", "map", "pointer", "func"].includes(type.kind))
          return type.kind === "reflect" || type.kind === "interface" ? undefined : zeroOf(type);
        throw this.error(`cannot assign nil to ${type.name}`);
      case "field":
      case "variable":
      case "chain":
        return this.validate(this.chain(operand, dot, [], undefined), type);
      case "pipeline":
        return this.validate(this.pipeline(operand, dot), type);
      case "identifier":
        return this.validate(this.call(operand, operand, dot, [], undefined), type);
      default:
        return this.constantOf(operand, type, dot);
    }
  }

  private constantOf(operand: Operand, type: Type, dot: Value | undefined): Value | undefined {
    const { kind } = type;
    if (kind === "reflect" || kind === "interface") return this.constant(operand, dot);
    const number = operand.kind === "number" ? operand.number : undefined;
    const expected = (what: string) =>
      this.error(`expected ${what}; found ${showOperand(operand)}`);
    if (kind === "bool") {
      if (operand.kind !== "bool") throw expected("bool");
      return new Value(type, operand.value);
    }
    if (kind === "string") {
      if (operand.kind !== "string") throw expected("string");
      return new Value(type, operand.text);
    }
    if (isFloat(kind)) {
      if (number?.float === undefined) throw expected("float");
      return new Value(type, number.float);
    }
    if (isSigned(kind)) {
      if (number?.int === undefined) throw expected("integer");
      return new Value(type, number.int);
    }
    if (isUnsigned(kind)) {
      if (number?.uint === undefined) throw expected("unsigned integer");
      return new Value(type, number.uint);
    }
    throw this.error(`can't handle ${showOperand(operand)} for arg of type ${type.name}`);
  }

  /** A value as one of this type. */
  private validate(value: Value | undefined, type: Type): Value | undefined {
    if (type.kind === "reflect") return value;
    if (value === undefined) {
      if (type.kind === "interface") return undefined;
      if (["slice", "map", "pointer", "func"].includes(type.kind)) return zeroOf(type);
      throw this.error(`invalid value; expected ${type.name}`);
    }
    if (assignable(value.type, type)) return value;
    if (
      value.kind === "interface" &&
      value.inner !== undefined &&
      assignable(value.inner.type, type)
    )
      return value.inner;
    const concrete = value.kind === "interface" ? (value.inner ?? value) : value;
    if (concrete.kind === "pointer" && concrete.type.elem && assignable(concrete.type.elem, type)) {
      if (concrete.inner === undefined)
        throw this.error(`dereference of nil pointer of type ${type.name}`);
      return concrete.inner;
    }
    throw this.error(`wrong type for value; expected ${type.name}; got ${concrete.type.name}`);
  }
}

/** Carries a template out. Throws an ExecError. */
export function execute(template: Template, root: Value | undefined, options: Options): string {
  const run = new Run(template, options, root);
  try {
    run.nodes(template.nodes, root);
  } catch (error) {
    if (error instanceof ExecError) error.written = run.output.join("");
    throw error;
  }
  return run.output.join("");
}
