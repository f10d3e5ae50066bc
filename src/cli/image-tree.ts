/**
 * `berth images --tree`: each image with its names, and below it what there is of it by platform. As the docker command line
 * has it, colours on a terminal included.
 */
import type { ImageManifestSummary, ImageSummary } from "../spec/engine-api.ts";
import { humanSize } from "./human.ts";
import { harmless } from "./terminal-text.ts";

/** How the tree is shown. */
export interface TreeView {
  /** Columns of the terminal; undefined without one. */
  readonly columns: number | undefined;
  readonly coloured: boolean;
  /** Images without names, too. */
  readonly all: boolean;
}

interface Line {
  readonly name: string;
  readonly id: string;
  readonly usage: string;
  readonly content: string;
  readonly inUse: boolean;
}

const WARNING =
  "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
const SPACING = "   ";
const PLAIN_COLUMNS = 80;
const widths = { id: 12, usage: 10, content: 12, extra: 5 };

const shortId = (id: string) => id.replace(/^sha256:/, "").slice(0, widths.id);

function childOf({ ID, Size, ImageData }: ImageManifestSummary): Line {
  const { os = "", architecture = "", variant } = ImageData?.Platform ?? {};
  return {
    name: [os, architecture, variant].filter(Boolean).join("/"),
    id: shortId(ID),
    usage: humanSize(Size.Total),
    content: humanSize(Size.Content),
    inUse: (ImageData?.Containers.length ?? 0) > 0,
  };
}

/** Lines with their columns, painted on a terminal only. */
class Tree {
  private readonly lines: string[] = [];

  constructor(
    private readonly terminal: boolean,
    private readonly coloured: boolean,
    private readonly nameWidth: number,
  ) {}

  private paint(codes: string, text: string): string {
    return this.coloured ? `${codes}${text}\x1b[0m` : text;
  }

  /** Where there is no terminal docker writes the codes of headings none the less. */
  private heading(text: string): string {
    return this.terminal && !this.coloured ? text : `\x1b[39m\x1b[1m${text}\x1b[0m`;
  }

  title(columns: number): void {
    const info = this.coloured
      ? `\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m \x1b[38;5;0m\x1b[48;5;14m U \x1b[0m In Use `
      : "Info ->  U In Use ";
    const shown = this.coloured ? "i Info →   U  In Use ".length : info.length;
    this.lines.push(this.paint("\x1b[93m", WARNING));
    this.lines.push(`${" ".repeat(Math.max(0, columns - shown))}${info}`, "");
    const cells: [string, number][] = [
      ["IMAGE", this.nameWidth],
      ["ID", widths.id],
      ["DISK USAGE", widths.usage],
      ["CONTENT SIZE", widths.content],
      ["EXTRA", widths.extra],
    ];
    const row = cells.map(
      ([text, width]) => this.heading(text) + " ".repeat(Math.max(0, width - text.length)),
    );
    this.lines.push(row.join(SPACING));
  }

  name(text: string): void {
    this.lines.push(this.paint("\x1b[34m\x1b[1m", text));
  }

  row(line: Line, codes: string): void {
    const right = (text: string, width: number) =>
      " ".repeat(Math.max(0, width - text.length)) + this.paint("\x1b[39m", text);
    const mark = this.coloured ? this.paint("\x1b[38;5;0m\x1b[48;5;14m", " U ") : "U  ";
    const chip = line.inUse ? mark : "   ";
    this.lines.push(
      [
        this.paint(codes, line.name) + " ".repeat(Math.max(0, this.nameWidth - line.name.length)),
        this.paint("\x1b[39m", line.id) + " ".repeat(Math.max(0, widths.id - line.id.length)),
        right(line.usage, widths.usage),
        right(line.content, widths.content),
        `${chip}  `,
      ].join(SPACING),
    );
  }

  gap(): void {
    this.lines.push("");
  }

  get text(): string {
    return `${this.lines.join("\n")}\n`;
  }
}

/** The tree as text. */
export function imageTree(images: readonly ImageSummary[], view: TreeView): string {
  const named = (name: string) => (view.columns === undefined ? name : harmless(name));
  const shown = images
    .filter(({ RepoTags }) => view.all || RepoTags.length > 0)
    .map((image) => {
      const children = (image.Manifests ?? []).filter(({ Kind }) => Kind === "image");
      const content = children.reduce((sum, { Size }) => sum + Size.Content, 0);
      const lines = children.map(childOf).map((line) => ({ ...line, name: named(line.name) }));
      // The longest name first, as docker has it.
      const names = image.RepoTags.map(named).sort((a, b) => b.length - a.length);
      const top: Line = {
        name: names.at(-1) ?? "<untagged>",
        id: shortId(image.Id),
        usage: humanSize(image.Size),
        content: humanSize(content),
        inUse: image.Containers > 0 || lines.some(({ inUse }) => inUse),
      };
      return { above: names.slice(0, -1), top, lines };
    });
  const names = shown.flatMap(({ above, top, lines }) => [
    ...above,
    top.name,
    ...lines.map(({ name }) => `└─ ${name}`),
  ]);
  // In bytes, as docker counts it, so that branches are wider than they look.
  const width = Math.max("IMAGE".length, ...names.map((name) => Buffer.byteLength(name)));
  const tree = new Tree(view.columns !== undefined, view.coloured, shown.length === 0 ? 5 : width);
  tree.title(view.columns ?? PLAIN_COLUMNS);
  for (const { above, top, lines } of shown) {
    for (const name of above) tree.name(name);
    tree.row(top, "\x1b[34m\x1b[1m");
    for (const [at, line] of lines.entries())
      tree.row(
        { ...line, name: `${at === lines.length - 1 ? "└─" : "├─"} ${line.name}` },
        "\x1b[39m",
      );
    if (lines.length > 0) tree.gap();
  }
  return tree.text;
}
