/**
 * `berth pull` and `berth push`.
 */
import { parseReference } from "../../spec/reference.ts";
import type { Command } from "../command.ts";
import { authHeaders } from "../docker-config.ts";
import { flag } from "../flags.ts";
import { out } from "../output.ts";
import { platformJson } from "../platform.ts";
import { showProgress } from "../progress.ts";
import { splitTag, wholeName } from "../reference.ts";

const quiet = flag("quiet", "q", "bool", "Suppress verbose output");
const trust = flag("disable-content-trust", "", "bool", "Skip image verification", "true");

/** The two commands. */
export const commands = {
  pull: {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    short: "Download an image from a registry",
    args: [1, 1],
    flags: [
      flag("all-tags", "a", "bool", "Download all tagged images in the repository"),
      trust,
      quiet,
      flag("platform", "", "string", "Set platform if server is multi-platform capable"),
      flag(
        "all-platforms",
        "",
        "bool",
        "Keep what is there for other platforms, too, beside the image",
      ),
      flag(
        "referrers",
        "",
        "bool",
        "Keep signatures, attestations and what else refers to the image",
      ),
    ],
    async run({ client }, parsed) {
      const [name = ""] = parsed.args;
      parseReference(name);
      const { repository, tag } = splitTag(name);
      const all = parsed.on("all-tags");
      const named = tag !== undefined || name.includes("@");
      if (all && named) throw new Error("tag can't be used with --all-tags/-a");
      if (!all && !named && !parsed.on("quiet")) out("Using default tag: latest\n");
      const fromImage = name.includes("@") ? name : repository;
      const response = await client.request("POST", "/images/create", {
        query: {
          fromImage,
          tag: all || name.includes("@") ? undefined : (tag ?? "latest"),
          platform: parsed.text("platform") || undefined,
          "all-platforms": parsed.on("all-platforms") ? "1" : undefined,
          referrers: parsed.on("referrers") ? "1" : undefined,
        },
        headers: authHeaders(name),
      });
      await showProgress(response.values(), parsed.on("quiet") ? undefined : out);
      out(`${wholeName(all || named ? name : `${name}:latest`)}\n`);
      return 0;
    },
  },
  push: {
    usage: "[OPTIONS] NAME[:TAG]",
    short: "Upload an image to a registry",
    args: [1, 1],
    flags: [
      flag("all-tags", "a", "bool", "Push all tags of an image to the repository"),
      trust,
      quiet,
      flag(
        "platform",
        "",
        "string",
        "Push a platform-specific manifest as a single-platform image",
      ),
    ],
    async run({ client }, parsed) {
      const [name = ""] = parsed.args;
      const asked = parsed.text("platform");
      const platform = platformJson(asked, `Invalid platform ${asked}`);
      parseReference(name);
      const { repository, tag } = splitTag(name);
      const all = parsed.on("all-tags");
      if (all && tag !== undefined) throw new Error("tag can't be used with --all-tags/-a");
      if (!all && tag === undefined && !parsed.on("quiet")) out("Using default tag: latest\n");
      const response = await client.request("POST", `/images/${repository}/push`, {
        query: {
          tag: all ? undefined : (tag ?? "latest"),
          platform,
        },
        // A push is never anybody's in particular without a header, even an empty one.
        headers: { "X-Registry-Auth": "e30=", ...authHeaders(name) },
      });
      await showProgress(response.values(), parsed.on("quiet") ? undefined : out);
      if (parsed.on("quiet"))
        out(`${wholeName(all || tag !== undefined ? name : `${name}:latest`)}\n`);
      return 0;
    },
  },
} satisfies Record<string, Command>;
