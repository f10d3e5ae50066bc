import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { VolumePlugins } from "./plugins.ts";

const scratch = mkdtempSync("/tmp/bt-plugins-");
mkdirSync(`${scratch}/nested`);
let answer: (method: string) => Response | Promise<Response> = () => new Response("{}");
const activating = (method: string) =>
  method === "Plugin.Activate"
    ? Response.json({ Implements: ["NetworkDriver", "VolumeDriver"] })
    : undefined;
const server = Bun.serve({
  unix: `${scratch}/nested/nested.sock`,
  fetch: (request) => answer(new URL(request.url).pathname.slice(1)),
});
afterAll(async () => {
  await server.stop(true);
  rmSync(scratch, { recursive: true, force: true });
});
const plugins = new VolumePlugins({
  sockets: [`${scratch}/none`, scratch],
  specs: [`${scratch}/none`],
});

async function why(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "nothing",
    (error: Error) => error.message,
  );
}

test("a plugin is found in a directory of its own; what is none, or drives no volumes, is told", async () => {
  expect(plugins.names()).toEqual(["nested"]);
  answer = () => Response.json({ Implements: ["authz"] });
  expect(await why(plugins.get("nested", ""))).toContain("does not implement the requested driver");
  for (const odd of [null, 5, [], { Implements: "VolumeDriver" }, { Implements: null }]) {
    answer = () => Response.json(odd);
    expect(await why(plugins.get("nested", ""))).toContain("does not implement");
  }
  for (const name of ["", ".", "..", "a/b", "nosuch", "x\0y"])
    expect(await why(plugins.get(name, "create v: "))).toContain(`plugin "${name}" not found`);
});

test("answers that make no sense are errors, and never a place on the host", async () => {
  answer = (method) => activating(method) ?? new Response("{}");
  const plugin = await plugins.get("nested", "");
  for (const [content, words] of [
    ["{}", "mounted it nowhere"],
    ['{"Mountpoint": 5}', "mounted it nowhere"],
    ['{"Mountpoint": "relative"}', "mounted it nowhere"],
    ['{"Mountpoint": "/a\\u0000b"}', "mounted it nowhere"],
    ['{"Err": "my own words", "Mountpoint": "/x"}', "my own words"],
    ["no json", "the answer is no JSON"],
    [`"${"x".repeat(5 << 20)}"`, "the answer is too long"],
  ] as const) {
    answer = () => new Response(content);
    expect(await why(plugin.mount("v", "id"))).toContain(words);
  }
  answer = () => new Response("broken", { status: 500 });
  expect(await why(plugin.create("v", {}))).toBe("VolumeDriver.Create: broken");
  answer = () => Response.redirect("http://example.com/", 307);
  expect(await why(plugin.create("v", {}))).not.toBe("nothing");
  for (const odd of [{ Volumes: 5 }, { Volumes: [null, 5, {}, { Name: 7 }] }, "text"]) {
    answer = (method) => activating(method) ?? Response.json(odd);
    expect(await plugin.list()).toEqual([]);
  }
  answer = () => Response.json({ Volume: { Name: "v", Mountpoint: null, Status: [] } });
  expect(await plugin.find("v")).toEqual({ name: "v", mountpoint: "", status: {} });
  answer = () => Response.json({ Capabilities: { Scope: "universe" } });
  expect(await plugin.scope()).toBe("local");
});
