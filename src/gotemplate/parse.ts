/**
 * A template's tokens as a tree, by Go's rules and with its messages. Pure.
 */
import { describeToken, lex, type Token, type TokenType } from "./lex.ts";
import {
  type Branch,
  type Command,
  type Node,
  type Operand,
  type Pipeline,
  showOperand,
  type Variable,
} from "./nodes.ts";
import { characterConstant, numberConstant } from "./numbers.ts";
import { quote, unquote } from "./quote.ts";
import { GoError } from "./values.ts";

/** A parsed template with those that it defines. */
export interface Template {
  readonly name: string;
  readonly source: string;
  readonly nodes: readonly Node[];
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}

/** A template that cannot be read. The message is Go's. */
export class ParseError extends Error {}

const MAX_DEPTH = 10_000;
const STARTS = new Set<TokenType>([
  ...["bool", "charConstant", "complex", "field", "identifier", "number"],
  ...["rawString", "string", "variable", "leftParen"],
] as TokenType[]);

type Ending = { readonly end: "end" | "else"; readonly at: number };
/** What may follow {{else}}: the same again. */
type Context = "if" | "with" | "range";

/** Whether nothing is in it but white space. */
function isEmpty(nodes: readonly Node[]): boolean {
  return nodes.every((node) => node.kind === "text" && node.text.trim() === "");
}

class Parser {
  readonly defined = new Map<string, readonly Node[]>();
  private readonly tokens: readonly Token[];
  private next = 0;
  private furthest = 0;
  private variables = ["$"];
  private ranges = 0;
  private depth = 0;
  private actionLine = 0;

  constructor(
    source: string,
    private readonly functions: ReadonlySet<string>,
    private readonly name: string,
  ) {
    this.tokens = lex(source);
  }

  all(): readonly Node[] {
    const nodes: Node[] = [];
    while (this.peek().type !== "EOF") {
      if (this.peek().type === "leftDelim") {
        const mark = this.next;
        this.take();
        if (this.isWord(this.takeSolid(), "define")) {
          this.definition();
          continue;
        }
        this.next = mark;
      }
      const node = this.textOrAction();
      if ("end" in node) throw this.error(`unexpected {{${node.end}}}`);
      nodes.push(node);
    }
    this.add("", nodes);
    return nodes;
  }

  private peek(): Token {
    // The last token, EOF or an error, goes on for ever.
    const at = Math.min(this.next, this.tokens.length - 1);
    this.furthest = Math.max(this.furthest, at);
    return this.tokens[at] as Token;
  }

  private take(): Token {
    const token = this.peek();
    this.next++;
    return token;
  }

  private peekSolid(): Token {
    while (this.peek().type === "space") this.next++;
    return this.peek();
  }

  private takeSolid(): Token {
    this.peekSolid();
    return this.take();
  }

  private isWord(token: Token, word: string): boolean {
    return token.type === "keyword" && token.text === word;
  }

  private error(message: string): ParseError {
    return new ParseError(
      `template: ${this.name}:${this.tokens[this.furthest]?.line ?? 1}: ${message}`,
    );
  }

  private unexpected(token: Token, context: string): ParseError {
    if (token.type !== "error")
      return this.error(`unexpected ${describeToken(token)} in ${context}`);
    if (this.actionLine === 0 || this.actionLine === token.line) return this.error(token.text);
    const started = ` started at :${this.actionLine}`;
    return this.error(
      token.text + (token.text.endsWith(" action") ? started : ` in action${started}`),
    );
  }

  private expect(type: TokenType, context: string): Token {
    const token = this.takeSolid();
    if (token.type !== type) throw this.unexpected(token, context);
    return token;
  }

  /** Does something that throws GoErrors; they get their place. */
  private placed<T>(make: () => T): T {
    try {
      return make();
    } catch (error) {
      throw error instanceof GoError ? this.error(error.message) : error;
    }
  }

  private add(name: string, nodes: readonly Node[]): void {
    const before = this.defined.get(name);
    if (before === undefined || isEmpty(before)) this.defined.set(name, nodes);
    else if (!isEmpty(nodes))
      throw this.error(`template: multiple definition of template ${quote(name)}`);
  }

  private templateName(token: Token, context: string): string {
    if (token.type !== "string" && token.type !== "rawString")
      throw this.unexpected(token, context);
    return this.placed(() => unquote(token.text));
  }

  /** A tree of its own, which knows none of the variables around it, up to {{end}}. */
  private ownTree(name: string, context: string): void {
    const [variables, ranges, actionLine] = [this.variables, this.ranges, this.actionLine];
    this.variables = ["$"];
    this.ranges = 0;
    this.actionLine = 0;
    const { nodes, ending } = this.list();
    if (ending.end !== "end") throw this.error(`unexpected {{${ending.end}}} in ${context}`);
    this.variables = variables;
    this.ranges = ranges;
    this.actionLine = actionLine;
    this.add(name, nodes);
  }

  private definition(): void {
    const name = this.templateName(this.takeSolid(), "define clause");
    this.expect("rightDelim", "define clause");
    this.ownTree(name, "define clause");
  }

  private list(): { nodes: Node[]; ending: Ending } {
    const nodes: Node[] = [];
    while (this.peekSolid().type !== "EOF") {
      const node = this.textOrAction();
      if ("end" in node) return { nodes, ending: node };
      nodes.push(node);
    }
    throw this.error("unexpected EOF");
  }

  private textOrAction(): Node | Ending {
    const token = this.takeSolid();
    if (token.type === "text") return { kind: "text", text: token.text, at: token.at };
    if (token.type !== "leftDelim") throw this.unexpected(token, "input");
    this.actionLine = token.line;
    const node = this.action();
    this.actionLine = 0;
    return node;
  }

  private action(): Node | Ending {
    const mark = this.next;
    const token = this.takeSolid();
    const word = token.type === "keyword" ? token.text : "";
    switch (word) {
      case "if":
      case "with":
      case "range":
        return this.branch(word);
      case "break":
      case "continue":
        return this.leap(word, token);
      case "end":
        return { end: word, at: this.expect("rightDelim", "end").at };
      case "else": {
        const next = this.peekSolid();
        if (!this.isWord(next, "if") && !this.isWord(next, "with"))
          this.expect("rightDelim", "else");
        return { end: word, at: next.at };
      }
      case "template":
      case "block":
        return this.inclusion(word);
    }
    this.next = mark;
    const { at } = this.peekSolid();
    return { kind: "action", at, pipeline: this.pipeline("command", "rightDelim") };
  }

  private leap(kind: "break" | "continue", { at }: Token): Node {
    const token = this.takeSolid();
    if (token.type !== "rightDelim") throw this.unexpected(token, `{{${kind}}}`);
    if (this.ranges === 0) throw this.error(`{{${kind}}} outside {{range}}`);
    return { kind, at };
  }

  private inclusion(word: "template" | "block"): Node {
    const token = this.takeSolid();
    const name = this.templateName(token, `${word} clause`);
    let pipeline: Pipeline | undefined;
    if (word === "template" && this.peekSolid().type === "rightDelim") this.take();
    else pipeline = this.pipeline(`${word} clause`, "rightDelim");
    if (word === "block") this.ownTree(name, "block clause");
    return { kind: "template", name, quoted: quote(name), pipeline, at: token.at };
  }

  private branch(kind: Context): Branch {
    const known = this.variables.length;
    const pipeline = this.pipeline(kind, "rightDelim");
    if (kind === "range") this.ranges++;
    const { nodes: body, ending } = this.list();
    if (kind === "range") this.ranges--;
    const otherwise = ending.end === "else" ? this.otherwise(kind) : undefined;
    this.variables.length = known;
    return { kind, pipeline, body, otherwise, at: pipeline.at };
  }

  private otherwise(kind: Context): readonly Node[] {
    if (kind !== "range" && this.isWord(this.peek(), kind)) {
      this.take();
      return [this.branch(kind)];
    }
    const { nodes, ending } = this.list();
    if (ending.end !== "end") throw this.error(`expected end; found {{${ending.end}}}`);
    return nodes;
  }

  private pipeline(context: string, end: TokenType): Pipeline {
    const { at } = this.peekSolid();
    const { variables, assigns } = this.declarations(context);
    const commands: Command[] = [];
    for (;;) {
      const mark = this.next;
      const token = this.takeSolid();
      if (token.type === end) break;
      const starts = STARTS.has(token.type) || this.isWord(token, ".") || this.isWord(token, "nil");
      if (!starts) throw this.unexpected(token, context);
      this.next = mark;
      commands.push(this.command());
    }
    if (commands.length === 0) throw this.error(`missing value for ${context}`);
    commands.slice(1).forEach(({ operands: [first] }, index) => {
      if (["bool", "dot", "nil", "number", "string"].includes(first?.kind ?? ""))
        throw this.error(`non executable command in pipeline stage ${index + 2}`);
    });
    return { kind: "pipeline", at, assigns, variables, commands };
  }

  private declarations(context: string): { variables: Variable[]; assigns: boolean } {
    const variables: Variable[] = [];
    for (;;) {
      const token = this.peekSolid();
      if (token.type !== "variable") return { variables, assigns: false };
      const mark = this.next;
      this.take();
      const next = this.peekSolid();
      const separates = next.type === "char" && next.text === ",";
      if (!separates && next.type !== "assign" && next.type !== "declare") {
        this.next = mark;
        return { variables, assigns: false };
      }
      this.take();
      variables.push({ kind: "variable", path: token.text.split("."), at: token.at });
      this.variables.push(token.text);
      if (!separates) return { variables, assigns: next.type === "assign" };
      if (context !== "range" || variables.length >= 2)
        throw this.error(`too many declarations in ${context}`);
      if (!["variable", "rightDelim", "rightParen"].includes(this.peekSolid().type))
        throw this.error("range can only initialize variables");
    }
  }

  private command(): Command {
    const { at } = this.peekSolid();
    const operands: Operand[] = [];
    for (;;) {
      this.peekSolid();
      const operand = this.operand();
      if (operand !== undefined) operands.push(operand);
      const mark = this.next;
      const token = this.take();
      if (token.type === "space") continue;
      if (token.type === "rightDelim" || token.type === "rightParen") this.next = mark;
      else if (token.type !== "pipe") throw this.unexpected(token, "operand");
      break;
    }
    if (operands.length === 0) throw this.error("empty command");
    return { operands, at };
  }

  private operand(): Operand | undefined {
    const node = this.term();
    if (node === undefined || this.peek().type !== "field") return node;
    const { at } = this.peek();
    const path: string[] = [];
    while (this.peek().type === "field") path.push(this.take().text.slice(1));
    switch (node.kind) {
      case "field":
      case "variable":
        return { kind: node.kind, at, path: [...node.path, ...path] };
      case "bool":
      case "string":
      case "number":
      case "nil":
      case "dot":
        throw this.error(`unexpected . after term ${quote(showOperand(node))}`);
      default:
        return { kind: "chain", node, path, at };
    }
  }

  private term(): Operand | undefined {
    const mark = this.next;
    const token = this.takeSolid();
    const { text, at } = token;
    switch (token.type) {
      case "identifier":
        if (!this.functions.has(text)) throw this.error(`function ${quote(text)} not defined`);
        return { kind: "identifier", name: text, at };
      case "variable": {
        const path = text.split(".");
        if (!this.variables.includes(path[0] ?? ""))
          throw this.error(`undefined variable ${quote(path[0] ?? "")}`);
        return { kind: "variable", path, at };
      }
      case "field":
        return { kind: "field", path: [text.slice(1)], at };
      case "bool":
        return { kind: "bool", value: text === "true", at };
      case "charConstant":
        return { kind: "number", text, number: this.placed(() => characterConstant(text)), at };
      case "number":
      case "complex":
        return { kind: "number", text, number: this.placed(() => numberConstant(text)), at };
      case "string":
      case "rawString":
        return { kind: "string", quoted: text, text: this.placed(() => unquote(text)), at };
      case "leftParen":
        return this.parenthesized();
      case "keyword":
        if (text === ".") return { kind: "dot", at };
        if (text === "nil") return { kind: "nil", at };
    }
    this.next = mark;
    return undefined;
  }

  private parenthesized(): Pipeline {
    if (this.depth >= MAX_DEPTH) throw this.error("max expression depth exceeded");
    this.depth++;
    const pipeline = this.pipeline("parenthesized pipeline", "rightParen");
    this.depth--;
    return pipeline;
  }
}

/** Parses a template that may call these functions. Throws a ParseError. */
export function parse(source: string, functions: ReadonlySet<string>, name = ""): Template {
  const parser = new Parser(source, functions, name);
  const nodes = parser.all();
  return { name, source, nodes, defined: parser.defined };
}
