/**
 * Go's text/template, carried out over a JSON value. Pure.
 */
import { functions } from "./functions.ts";
import type { Expression, Node, Pipeline, Template } from "./parse.ts";
import { formatValue, truth } from "./values.ts";

type Scope = Map<string, unknown>;

/** What a field's name gives: a value, or a function of the rest of the command (.Label "x"). */
function field(value: unknown, name: string): unknown {
  if (value === null || typeof value !== "object") {
    if (value === undefined) return undefined;
    throw new Error(
      `template: :1: can't evaluate field ${name} in type ${value === null ? "nil" : typeof value}`,
    );
  }
  return (value as Record<string, unknown>)[name];
}

function walk(value: unknown, path: readonly string[]): unknown {
  return path.reduce(field, value);
}

/** One execution. */
class Run {
  private output = "";

  constructor(
    private readonly template: Template,
    private readonly root: unknown,
  ) {}

  all(): string {
    this.nodes(this.template.nodes, this.root, new Map([["$", this.root]]));
    return this.output;
  }

  private nodes(nodes: readonly Node[], dot: unknown, scope: Scope): void {
    const inner: Scope = new Map(scope);
    for (const node of nodes) {
      if (node.kind === "text") this.output += node.text;
      else if (node.kind === "action") {
        const value = this.pipeline(node.pipeline, dot, inner, scope);
        if (node.pipeline.variables.length === 0) this.output += formatValue(value);
      } else if (node.kind === "template")
        this.named(node.name, node.pipeline && this.pipeline(node.pipeline, dot, inner, scope));
      else this.block(node, dot, inner);
    }
  }

  private named(name: string, dot: unknown): void {
    const body = this.template.defined.get(name);
    if (body === undefined)
      throw new Error(`template: :1: template ${JSON.stringify(name)} not defined`);
    this.nodes(body, dot, new Map([["$", dot]]));
  }

  private block(
    node: Extract<Node, { kind: "if" | "with" | "range" }>,
    dot: unknown,
    scope: Scope,
  ): void {
    const inner: Scope = new Map(scope);
    const value = this.pipeline(node.pipeline, dot, inner, inner);
    if (node.kind !== "range") {
      if (truth(value)) this.nodes(node.body, node.kind === "with" ? value : dot, inner);
      else this.nodes(node.otherwise, dot, inner);
      return;
    }
    const entries: [unknown, unknown][] = Array.isArray(value)
      ? value.map((item, index) => [index, item])
      : value !== null && typeof value === "object"
        ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
        : [];
    if (entries.length === 0) this.nodes(node.otherwise, dot, inner);
    const names = node.pipeline.variables;
    for (const [key, item] of entries) {
      const loop: Scope = new Map(inner);
      if (names.length === 2) loop.set(names[0] ?? "", key);
      if (names.length > 0) loop.set(names.at(-1) ?? "", item);
      this.nodes(node.body, item, loop);
    }
  }

  private pipeline(pipeline: Pipeline, dot: unknown, scope: Scope, outer: Scope): unknown {
    let value: unknown;
    pipeline.commands.forEach((command, index) => {
      value = this.command(command, dot, scope, index === 0 ? [] : [value]);
    });
    for (const name of pipeline.variables) {
      scope.set(name, value);
      if (pipeline.assigns) outer.set(name, value);
    }
    return value;
  }

  private command(
    command: readonly Expression[],
    dot: unknown,
    scope: Scope,
    piped: readonly unknown[],
  ): unknown {
    const [first, ...rest] = command;
    if (first === undefined) return undefined;
    const args = [...rest.map((operand) => this.operand(operand, dot, scope)), ...piped];
    if (first.kind === "call") return this.call(first.name, args);
    const value = this.operand(first, dot, scope);
    if (typeof value === "function") return value(...args) as unknown;
    if (args.length > 0) throw new Error("template: :1: can't give argument to non-function");
    return value;
  }

  private call(name: string, args: readonly unknown[]): unknown {
    const callable = functions[name];
    if (callable === undefined)
      throw new Error(
        `template parsing error: template: :1: function ${JSON.stringify(name)} not defined`,
      );
    return callable(...args);
  }

  private operand(expression: Expression, dot: unknown, scope: Scope): unknown {
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "dot":
        return walk(dot, expression.path);
      case "variable":
        if (!scope.has(expression.name))
          throw new Error(
            `template parsing error: template: :1: undefined variable ${JSON.stringify(expression.name)}`,
          );
        return walk(scope.get(expression.name), expression.path);
      case "group":
        return walk(this.pipeline(expression.pipeline, dot, scope, scope), expression.path);
      case "call":
        return this.call(expression.name, []);
    }
  }
}

/** Executes a template over a value; functions among its fields are called with the rest of their command. */
export function execute(template: Template, value: unknown): string {
  return new Run(template, value).all();
}
