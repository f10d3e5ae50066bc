import { afterAll, beforeAll, expect, test } from "bun:test";
import { useProxies } from "./proxies.ts";

const nothing = { http: undefined, https: undefined, none: undefined };

test("what the daemon is told comes before the environment, which stays otherwise", () => {
  const environment = { http_proxy: "http://old:1", HTTPS_PROXY: "http://kept:2", no_proxy: "a" };
  useProxies({ ...nothing, http: "http://new:3" }, environment);
  expect(environment as object).toEqual({
    HTTP_PROXY: "http://new:3",
    HTTPS_PROXY: "http://kept:2",
    NO_PROXY: "a,localhost,127.0.0.0/8,::1",
  });
  const empty = {};
  useProxies(nothing, empty);
  expect(empty).toEqual({});
  useProxies({ ...nothing, none: "b, localhost" }, environment);
  expect(environment).toMatchObject({ NO_PROXY: "b,localhost,127.0.0.0/8,::1" });
});

const asked: string[] = [];
const proxy = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket, data) {
      asked.push(data.toString().split("\r\n")[0] ?? "");
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nproxy");
    },
  },
});
const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("own") });
const names = ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "HTTPS_PROXY"];
const before = names.map((name) => [name, process.env[name]] as const);
beforeAll(() => {
  for (const name of names) delete process.env[name];
});
afterAll(async () => {
  for (const [name, value] of before)
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  proxy.stop(true);
  await server.stop(true);
});

test("a registry is reached by the proxy, one on this host is not", async () => {
  useProxies({ ...nothing, http: `http://127.0.0.1:${proxy.port}` }, process.env);
  const text = async (url: string) => (await fetch(url)).text();
  expect(await text("http://r.example/v2/")).toBe("proxy");
  expect(await text(`http://127.0.0.1:${server.port}/`)).toBe("own");
  expect(asked).toEqual(["GET http://r.example/v2/ HTTP/1.1"]);
});
