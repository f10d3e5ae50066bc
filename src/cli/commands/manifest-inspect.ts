/**
 * `berth manifest inspect`: of a list that is being made here, else of what a registry has.
 */
import { parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { flag } from "../flags.ts";
import { type Described, inFull, isList, parseJson, repositoryOf } from "../manifests/source.ts";
import { imageIn, imagesOf, noSuchManifest } from "../manifests/store.ts";
import { out } from "../output.ts";

const show = (value: unknown, indent: string | number = "\t") =>
  out(`${JSON.stringify(value, null, indent)}\n`);

function showImage(image: Described, isVerbose: boolean): void {
  show(isVerbose ? image : (image.OCIManifest ?? image.SchemaV2Manifest));
}

/** An image of a list that is being made. */
function inspectIn(list: string, name: string, isVerbose: boolean): void {
  const reference = parseReference(name);
  const found = imageIn(parseReference(list), reference);
  if (found === undefined) throw noSuchManifest(reference);
  showImage(found, isVerbose);
}

async function inspectFar(name: string, isInsecure: boolean, isVerbose: boolean): Promise<void> {
  const reference = parseReference(name);
  const repository = repositoryOf(reference, isInsecure, "pull");
  const top = await repository.manifest(reference.digest ?? reference.tag ?? "latest");
  if (isVerbose) return show(await inFull(repository, reference, top));
  const document = parseJson(top.bytes, name);
  show(document, isList(document) ? 3 : "\t");
}

/** The command. */
export const command: Command = {
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  short: "Display an image manifest, or manifest list",
  args: [1, 2],
  flags: [
    flag("insecure", "", "bool", "Allow communication with an insecure registry"),
    flag("verbose", "v", "bool", "Output additional info including layers and platform"),
  ],
  async run(_context, parsed) {
    const [first = "", second] = parsed.args;
    const isVerbose = parsed.on("verbose");
    if (second !== undefined) {
      inspectIn(first, second, isVerbose);
      return 0;
    }
    const gathered = imagesOf(parseReference(first));
    if (gathered.length === 0) await inspectFar(first, parsed.on("insecure"), isVerbose);
    else if (isVerbose) show(gathered);
    else out(`${(await import("../manifests/list.ts")).listOf(gathered).text}\n`);
    return 0;
  },
};
