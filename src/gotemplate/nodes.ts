/**
 * A template as a tree, and its parts as Go's messages show them. Pure.
 */
import type { NumberConstant } from "./numbers.ts";

interface At {
  /** Where it begins in the source. */
  readonly at: number;
}

/** A value or a call in an action. */
export type Operand = At &
  (
    | { readonly kind: "dot" | "nil" }
    | { readonly kind: "bool"; readonly value: boolean }
    | { readonly kind: "number"; readonly text: string; readonly number: NumberConstant }
    | { readonly kind: "string"; readonly quoted: string; readonly text: string }
    | { readonly kind: "identifier"; readonly name: string }
    | { readonly kind: "field"; readonly path: readonly string[] }
    /** The path begins with the variable's name. */
    | { readonly kind: "variable"; readonly path: readonly string[] }
    | { readonly kind: "chain"; readonly node: Operand; readonly path: readonly string[] }
    | Pipeline
  );

/** A variable where it is declared or assigned. */
export type Variable = Extract<Operand, { kind: "variable" }>;

/** An operand and its arguments. */
export interface Command extends At {
  readonly operands: readonly Operand[];
}

/** Commands whose results are passed on from left to right. */
export interface Pipeline extends At {
  readonly kind: "pipeline";
  readonly assigns: boolean;
  readonly variables: readonly Variable[];
  readonly commands: readonly Command[];
}

/** if, with, range. */
export interface Branch extends At {
  readonly kind: "if" | "with" | "range";
  readonly pipeline: Pipeline;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[] | undefined;
}

/** {{template}}, and what is left of {{block}}. */
export interface Inclusion extends At {
  readonly kind: "template";
  readonly name: string;
  readonly quoted: string;
  readonly pipeline: Pipeline | undefined;
}

/** A piece of a template. */
export type Node =
  | (At & { readonly kind: "text"; readonly text: string })
  | (At & { readonly kind: "action"; readonly pipeline: Pipeline })
  | (At & { readonly kind: "break" | "continue" })
  | Branch
  | Inclusion;

/** An operand as Go writes it. */
export function showOperand(operand: Operand): string {
  switch (operand.kind) {
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(operand.value);
    case "number":
      return operand.text;
    case "string":
      return operand.quoted;
    case "identifier":
      return operand.name;
    case "field":
      return operand.path.map((name) => `.${name}`).join("");
    case "variable":
      return operand.path.join(".");
    case "chain": {
      const inner = showOperand(operand.node);
      const shown = operand.node.kind === "pipeline" ? `(${inner})` : inner;
      return shown + operand.path.map((name) => `.${name}`).join("");
    }
    case "pipeline":
      return showPipeline(operand);
  }
}

/** A command as Go writes it. */
export function showCommand({ operands }: Command): string {
  return operands
    .map((one) => (one.kind === "pipeline" ? `(${showPipeline(one)})` : showOperand(one)))
    .join(" ");
}

function showPipeline({ variables, assigns, commands }: Pipeline): string {
  const names = variables.map(showOperand).join(", ");
  const declared = variables.length === 0 ? "" : `${names} ${assigns ? "=" : ":="} `;
  return declared + commands.map(showCommand).join(" | ");
}

function showNodes(nodes: readonly Node[]): string {
  return nodes.map(showNode).join("");
}

/** A node as Go writes it. */
export function showNode(node: Node): string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "action":
      return `{{${showPipeline(node.pipeline)}}}`;
    case "break":
    case "continue":
      return `{{${node.kind}}}`;
    case "template": {
      const data = node.pipeline === undefined ? "" : ` ${showPipeline(node.pipeline)}`;
      return `{{template ${node.quoted}${data}}}`;
    }
    default: {
      const otherwise = node.otherwise === undefined ? "" : `{{else}}${showNodes(node.otherwise)}`;
      return `{{${node.kind} ${showPipeline(node.pipeline)}}}${showNodes(node.body)}${otherwise}{{end}}`;
    }
  }
}
