/** Logins against registries of the test's own: Basic, and tokens of an authorization service. */
import { afterAll, expect, test } from "bun:test";
import { Fault } from "../base/errors.ts";
import { type LoginRequest, login as loginWith } from "./login.ts";

const settings = { insecure: [], mirrors: [], certificates: [] };
const login = (request: LoginRequest) => loginWith(request, settings);

const GOOD = `Basic ${btoa("ann:secret")}`;

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const { pathname, searchParams, origin } = new URL(request.url);
    const given = request.headers.get("authorization");
    if (pathname === "/token") {
      const form = request.method === "POST" ? new URLSearchParams(await request.text()) : null;
      if (form?.get("refresh_token") === "kept") return Response.json({ access_token: "t1" });
      if (given !== GOOD)
        return Response.json({ details: "incorrect username or password" }, { status: 401 });
      const complete = ["account", "service", "client_id", "offline_token"].every((key) =>
        searchParams.get(key),
      );
      return complete
        ? Response.json({ token: "t1", refresh_token: "kept" })
        : new Response("incomplete", { status: 400 });
    }
    if (given === "Bearer t1") return new Response("{}");
    const realm = `Bearer realm="${origin}/token",service="a, \\"b\\""`;
    return new Response(null, { status: 401, headers: { "WWW-Authenticate": realm } });
  },
});
const plain = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) =>
    request.headers.get("authorization") === GOOD
      ? new Response("{}")
      : new Response(null, {
          status: 401,
          headers: { "WWW-Authenticate": 'Basic realm="the registry"' },
        }),
});
afterAll(() => Promise.all([server.stop(true), plain.stop(true)]));

const at = (port: number | undefined, password: string, identityToken = "") => ({
  username: "ann",
  password,
  identityToken,
  serverAddress: `http://127.0.0.1:${port}/v1/`,
});

async function failure(credentials: Parameters<typeof login>[0]): Promise<string> {
  const error = await login(credentials).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof Fault ? `${error.kind} ${error.message}` : `no Fault: ${error}`;
}

test("Basic: the right password, and a wrong one", async () => {
  expect(await login(at(plain.port, "secret"))).toEqual({ identityToken: "" });
  expect(await failure(at(plain.port, "wrong"))).toBe(
    `unauthorized login attempt to http://127.0.0.1:${plain.port}/v2/ failed with status: 401 Unauthorized`,
  );
});

test("a token: by password, by the token of an earlier login, and neither", async () => {
  expect(await login(at(server.port, "secret"))).toEqual({ identityToken: "kept" });
  expect(await login(at(server.port, "", "kept"))).toEqual({ identityToken: "" });
  expect(await failure(at(server.port, "wrong"))).toBe(
    `unauthorized Get "http://127.0.0.1:${server.port}/v2/": unauthorized: incorrect username or password`,
  );
});

test("nobody there, and an address that is none", async () => {
  expect(await failure(at(1, "secret"))).toBe(
    'failed Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
  );
  expect(await failure({ ...at(1, ""), serverAddress: "a b" })).toStartWith("invalid ");
});
