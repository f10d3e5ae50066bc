/**
 * `--authorization-plugin`: Docker's protocol for programs that say which requests are allowed.
 */
import type { Authorization, Question, Reply } from "../api/index.ts";
import { DockerPlugin, type PluginPlaces, text } from "../base/docker-plugin.ts";
import { fault, messageOf } from "../base/errors.ts";

const PATIENCE_MS = 30_000;

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function requestOf({ peer, method, uri, headers, body }: Question): object {
  return {
    User: peer.user,
    UserAuthNMethod: peer.method,
    RequestMethod: method,
    RequestUri: uri,
    ...(body === undefined || body.length === 0 ? {} : { RequestBody: base64(body) }),
    RequestHeaders: headers,
  };
}

async function ask(plugin: DockerPlugin, method: string, body: object): Promise<void> {
  let answer: Readonly<Record<string, unknown>>;
  try {
    await plugin.activate("authz", PATIENCE_MS);
    answer = await plugin.call(method, body, PATIENCE_MS);
  } catch (error) {
    // Nobody has allowed it.
    throw fault(
      "failed",
      "authorization-failed",
      `plugin ${plugin.name} failed with error: ${messageOf(error)}`,
      error,
    );
  }
  if (answer.Allow === true) return;
  throw fault(
    "forbidden",
    "authorization-denied",
    `authorization denied by plugin ${plugin.name}: ${text(answer.Msg)}`,
  );
}

/** Plugins that must all allow a request, in their order, and its answer, in the other. Undefined: there are none. */
export class PluginAuthorization implements Authorization {
  private readonly plugins: readonly DockerPlugin[];

  constructor(names: readonly string[], places: PluginPlaces) {
    this.plugins = [...new Set(names)].map((name) => new DockerPlugin(places, name));
  }

  /** Rejects with a Fault "invalid" for a plugin that is not there, or is none. */
  async validate(): Promise<void> {
    for (const plugin of this.plugins)
      await plugin.activate("authz", PATIENCE_MS).catch((error) => {
        throw fault(
          "invalid",
          "daemon-option",
          `Error validating authorization plugin: ${plugin.name}: ${messageOf(error)}`,
          error,
        );
      });
  }

  async request(question: Question): Promise<void> {
    const body = requestOf(question);
    for (const plugin of this.plugins) await ask(plugin, "AuthZPlugin.AuthZReq", body);
  }

  async response(question: Question, { status, json }: Reply): Promise<void> {
    const content =
      json === undefined ? {} : { ResponseBody: base64(Buffer.from(JSON.stringify(json))) };
    const answered = { ResponseStatusCode: status, ResponseHeaders: {}, ...content };
    const body = { ...requestOf(question), ...answered };
    for (const plugin of [...this.plugins].reverse())
      await ask(plugin, "AuthZPlugin.AuthZRes", body);
  }
}
