/**
 * Go's text/template, read: text with actions in {{ }} becomes a tree. Pure.
 */

/** A value or call inside an action. */
export type Expression =
  | { readonly kind: "literal"; readonly value: unknown }
  | { readonly kind: "dot"; readonly path: readonly string[] }
  | { readonly kind: "variable"; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: "call"; readonly name: string }
  | { readonly kind: "group"; readonly pipeline: Pipeline; readonly path: readonly string[] };

/** Commands whose results are passed on from left to right; each is a list of operands. */
export interface Pipeline {
  readonly variables: readonly string[];
  readonly assigns: boolean;
  readonly commands: readonly (readonly Expression[])[];
}

/** A piece of a template. */
export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipeline: Pipeline }
  | {
      readonly kind: "if" | "with" | "range";
      readonly pipeline: Pipeline;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    }
  | { readonly kind: "template"; readonly name: string; readonly pipeline: Pipeline | undefined };

/** A parsed template with those that it defines. */
export interface Template {
  readonly nodes: readonly Node[];
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}

/** A template that cannot be read. */
export class TemplateError extends Error {
  constructor(message: string) {
    super(`template parsing error: template: :1: ${message}`);
  }
}

const TOKEN =
  /\s+|"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)'|:=|[|(),=]|\$[\w]*|\.[\w.]*|-?\d+(?:\.\d+)?|[\w]+|./gy;

function tokens(source: string): string[] {
  return Array.from(source.matchAll(TOKEN), ([token]) => token);
}

interface Action {
  readonly text: string;
}

/** Splits text and actions; {{- and -}} eat the white space beside them. */
function split(source: string): (string | Action)[] {
  const parts: (string | Action)[] = [];
  let rest = source;
  let trim = false;
  for (;;) {
    const open = rest.indexOf("{{");
    let text = open < 0 ? rest : rest.slice(0, open);
    if (trim) text = text.trimStart();
    if (open < 0) {
      parts.push(text);
      return parts;
    }
    const match = /^\{\{(-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)(\s-)?\}\}/s.exec(
      rest.slice(open),
    );
    if (match === null) throw new TemplateError("unclosed action");
    parts.push(match[1] ? text.trimEnd() : text);
    const action = (match[2] ?? "").trim();
    if (!/^\/\*.*\*\/$/s.test(action)) parts.push({ text: action });
    trim = match[3] !== undefined;
    rest = rest.slice(open + match[0].length);
  }
}

/** Reads one action's tokens. */
class ActionParser {
  private readonly queue: string[];

  constructor(text: string) {
    this.queue = tokens(text);
  }

  private skipSpace(): void {
    while (this.queue[0] !== undefined && /^\s+$/.test(this.queue[0])) this.queue.shift();
  }

  peek(): string | undefined {
    this.skipSpace();
    return this.queue[0];
  }

  take(): string | undefined {
    this.skipSpace();
    return this.queue.shift();
  }

  end(): void {
    const left = this.take();
    if (left !== undefined)
      throw new TemplateError(`unexpected ${JSON.stringify(left)} in operand`);
  }

  pipeline(): Pipeline {
    const { variables, assigns } = this.declarations();
    const commands: Expression[][] = [];
    for (;;) {
      const command: Expression[] = [];
      for (
        let next = this.peek();
        next !== undefined && next !== "|" && next !== ")";
        next = this.peek()
      )
        command.push(this.operand());
      if (command.length === 0)
        throw new TemplateError(
          commands.length === 0 ? "missing value for command" : "missing value for command",
        );
      commands.push(command);
      if (this.peek() !== "|") return { variables, assigns, commands };
      this.take();
    }
  }

  private declarations(): { variables: string[]; assigns: boolean } {
    const saved = [...this.queue];
    const variables: string[] = [];
    while (this.peek()?.startsWith("$")) {
      variables.push(this.take() ?? "");
      const next = this.peek();
      if (next === ",") this.take();
      else if (next === ":=" || next === "=") {
        this.take();
        return { variables, assigns: next === "=" };
      } else break;
    }
    this.queue.splice(0, this.queue.length, ...saved);
    return { variables: [], assigns: false };
  }

  private operand(): Expression {
    const token = this.take() ?? "";
    if (token.startsWith('"')) return { kind: "literal", value: JSON.parse(token) as string };
    if (token.startsWith("`")) return { kind: "literal", value: token.slice(1, -1) };
    if (token.startsWith("'")) return { kind: "literal", value: token.charCodeAt(1) };
    if (/^-?\d/.test(token)) return { kind: "literal", value: Number(token) };
    if (token === "true" || token === "false") return { kind: "literal", value: token === "true" };
    if (token === "nil") return { kind: "literal", value: null };
    const path = (text: string) => text.split(".").filter(Boolean);
    if (token.startsWith(".")) return { kind: "dot", path: path(token) };
    if (token.startsWith("$")) return { kind: "variable", name: token, path: this.fields() };
    if (token === "(") {
      const pipeline = this.pipeline();
      if (this.take() !== ")") throw new TemplateError("unclosed left paren");
      return { kind: "group", pipeline, path: this.fields() };
    }
    if (/^\w+$/.test(token)) return { kind: "call", name: token };
    throw new TemplateError(`unexpected ${JSON.stringify(token)} in operand`);
  }

  /** ".A.B" right behind a variable or a closing parenthesis. */
  private fields(): string[] {
    const next = this.queue[0];
    if (next === undefined || !next.startsWith(".")) return [];
    this.queue.shift();
    return next.split(".").filter(Boolean);
  }
}

/** Builds the tree from the pieces. */
class TreeBuilder {
  readonly defined = new Map<string, readonly Node[]>();

  constructor(private readonly parts: (string | Action)[]) {}

  nodes(ends: readonly string[]): { nodes: Node[]; end: string; rest: ActionParser | undefined } {
    const nodes: Node[] = [];
    for (let part = this.parts.shift(); part !== undefined; part = this.parts.shift()) {
      if (typeof part === "string") {
        if (part !== "") nodes.push({ kind: "text", text: part });
        continue;
      }
      const parser = new ActionParser(part.text);
      const word = parser.peek() ?? "";
      if (ends.includes(word)) {
        parser.take();
        return { nodes, end: word, rest: parser };
      }
      const node = this.node(word, parser);
      if (node !== undefined) nodes.push(node);
    }
    if (ends.length > 0) throw new TemplateError("unexpected EOF");
    return { nodes, end: "", rest: undefined };
  }

  private node(word: string, parser: ActionParser): Node | undefined {
    if (word === "if" || word === "with" || word === "range") {
      parser.take();
      return this.block(word, parser);
    }
    if (word === "end" || word === "else") throw new TemplateError(`unexpected {{${word}}}`);
    if (word === "define" || word === "block" || word === "template")
      return this.named(word, parser);
    const pipeline = parser.pipeline();
    parser.end();
    return { kind: "action", pipeline };
  }

  private block(kind: "if" | "with" | "range", parser: ActionParser): Node {
    const pipeline = parser.pipeline();
    parser.end();
    const { nodes: body, end, rest } = this.nodes(["end", "else"]);
    if (end === "end") return { kind, pipeline, body, otherwise: [] };
    const next = rest?.peek();
    if (next === "if" || next === "with") {
      rest?.take();
      return {
        kind,
        pipeline,
        body,
        otherwise: rest === undefined ? [] : [this.block(next, rest)],
      };
    }
    return { kind, pipeline, body, otherwise: this.nodes(["end"]).nodes };
  }

  private named(word: string, parser: ActionParser): Node | undefined {
    parser.take();
    const quoted = parser.take() ?? "";
    if (!/^["`]/.test(quoted))
      throw new TemplateError(`unexpected ${JSON.stringify(quoted)} in ${word} clause`);
    const name = quoted.slice(1, -1);
    const pipeline = parser.peek() === undefined ? undefined : parser.pipeline();
    if (word === "template") return { kind: "template", name, pipeline };
    this.defined.set(name, this.nodes(["end"]).nodes);
    return word === "block" ? { kind: "template", name, pipeline } : undefined;
  }
}

/** Parses a template. Throws a TemplateError. */
export function parseTemplate(source: string): Template {
  const builder = new TreeBuilder(split(source));
  const { nodes } = builder.nodes([]);
  return { nodes, defined: builder.defined };
}
