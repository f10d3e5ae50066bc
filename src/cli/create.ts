/**
 * Creating a container, with its image fetched when it is missing: what `run` and `create` share.
 */

import { goReason } from "../base/errno-text.ts";
import { errnoOf } from "../base/errors.ts";
import { type ApiClient, ApiError } from "../client/index.ts";
import type { ContainerCreateResponse } from "../spec/engine-api.ts";
import { parseReference } from "../spec/reference.ts";
import { createRequest } from "./container-options/request.ts";
import type { Parsed } from "./flags.ts";
import { fs } from "./late-modules.ts";
import { err } from "./output.ts";
import { platformJson } from "./platform.ts";
import { proxyVariables } from "./proxies.ts";
import { consoleSize } from "./terminal.ts";

function withTag(image: string): string {
  return /(:[^/]+|@.+)$/.test(image) ? image : `${image}:latest`;
}

/** Fetches an image, with its progress on standard error unless quiet. */
export async function pullImage(
  client: ApiClient,
  image: string,
  platform: string,
  quiet: boolean,
) {
  const named = withTag(image);
  const at = named.includes("@") ? named.indexOf("@") : named.lastIndexOf(":");
  const query = { fromImage: named.slice(0, at), tag: named.slice(at + 1), platform };
  const { authHeaders } = await import("./docker-config.ts");
  const headers = authHeaders(image);
  const response = await client.request("POST", "/images/create", { query, headers });
  const { showProgress } = await import("./progress.ts");
  await showProgress(response.values(), quiet ? undefined : err, 2);
}

function reserveIdFile(path: string): number | undefined {
  if (path === "") return undefined;
  try {
    return fs().openSync(path, "wx");
  } catch (error) {
    if (errnoOf(error) === "EEXIST")
      throw new Error(
        `container ID file found, make sure the other container isn't running or delete ${path}`,
      );
    throw new Error(`failed to create the container ID file: open ${path}: ${goReason(error)}`);
  }
}

/** Throws in Docker's words for a `--pull` that is none. */
export function checkPull(parsed: Parsed): void {
  const pull = parsed.text("pull");
  if (!["", "always", "missing", "never"].includes(pull))
    throw new Error(
      `invalid pull option: '${pull}': must be one of "always", "missing" or "never"`,
    );
}

/** A container's environment, with the proxies that the user has for whatever runs at this daemon. */
function withProxies(client: ApiClient, environment: readonly string[]): string[] {
  const given = environment.map((one) => one.replace(/=.*/s, ""));
  const proxies = proxyVariables(client.host.url, given);
  return [...environment, ...proxies.map((pair) => pair.join("="))];
}

/** Creates the container of a command line, returns its id and what it was made from. */
export async function createContainer(client: ApiClient, parsed: Parsed) {
  const request = createRequest(parsed);
  parseReference(request.Image ?? "");
  const ConsoleSize = request.Tty ? consoleSize() : undefined;
  const Env = withProxies(client, request.Env ?? []);
  const body = { ...request, Env, HostConfig: { ...request.HostConfig, ConsoleSize } };
  const image = body.Image ?? "";
  const platform = parsed.text("platform");
  const pull = parsed.text("pull", "missing") || "missing";
  if (platform !== "") platformJson(platform, "error parsing specified platform: ");
  const path = parsed.text("cidfile");
  const idFile = reserveIdFile(path);
  const quiet = parsed.on("quiet");
  const query = { name: parsed.text("name") || undefined, platform: platform || undefined };
  const post = () =>
    client.json<ContainerCreateResponse>("POST", "/containers/create", { query, body });
  let created: ContainerCreateResponse | undefined;
  try {
    if (pull === "always") await pullImage(client, image, platform, quiet);
    try {
      created = await post();
    } catch (error) {
      const missing =
        error instanceof ApiError &&
        error.status === 404 &&
        /No such image|match the specified platform/i.test(error.message);
      if (!missing || pull !== "missing") throw error;
      if (!quiet) err(`Unable to find image '${withTag(image)}' locally\n`);
      await pullImage(client, image, platform, quiet);
      created = await post();
    }
    if (idFile !== undefined) fs().writeSync(idFile, created.Id);
  } finally {
    if (idFile !== undefined) fs().closeSync(idFile);
    if (idFile !== undefined && !created) fs().unlinkSync(path);
  }
  const local = body.HostConfig.Dns.find((address) => /^127\.|^::1$/.test(address));
  const own = local === undefined ? [] : [`Localhost DNS (${local}) may fail in containers.`];
  for (const warning of [...(created.Warnings ?? []), ...own]) err(`WARNING: ${warning}\n`);
  return { id: created.Id, body };
}
