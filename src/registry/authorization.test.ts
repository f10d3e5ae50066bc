/** Tokens and refusals, whatever the services say. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  checkAll,
  damaged,
  damagedJson,
  damagedText,
  valueOrFault,
} from "../../tests/kits/fuzz.ts";
import { anonymous, answerChallenge, presentable, reasonOf, tokenFor } from "./authorization.ts";
import { patient } from "./body.ts";
import { chooseChallenge } from "./headers.ts";

const credentials = { ...anonymous, username: "ann", password: "opensesame" };
const challenge = {
  scheme: "bearer",
  parameters: {
    realm: "https://auth.r.io/token",
    service: "r.io",
    scope: "repository:a:pull repository:b:pull",
  },
};
const url = "https://r.io/v2/";

function answering(body: Uint8Array | string, status = 200) {
  const asked: { address: string; init: RequestInit }[] = [];
  const exchange = async (address: string, init: RequestInit) => {
    asked.push({ address, init });
    return new Response(Buffer.from(body), { status });
  };
  return { asked, asking: { credentials, exchange, patience: patient } };
}

test("a token is asked for each scope, as whoever asks", async () => {
  const { asked, asking } = answering('{"token":"abc"}');
  expect(await tokenFor(url, challenge, asking)).toEqual({ access: "abc", refresh: "" });
  const [{ address = "", init = {} } = {}] = asked;
  const { searchParams } = new URL(address);
  expect(searchParams.getAll("scope")).toEqual(["repository:a:pull", "repository:b:pull"]);
  expect(searchParams.get("account")).toBe("ann");
  expect(new Headers(init.headers).get("authorization")).toBe(`Basic ${btoa("ann:opensesame")}`);
  expect(address).not.toContain("opensesame");
});

test("with the token of an earlier login no password goes", async () => {
  const { asked, asking } = answering('{"access_token":"abc"}');
  const credentials = { ...anonymous, identityToken: "kept" };
  await tokenFor(url, challenge, { ...asking, credentials });
  expect(asked[0]?.init.method).toBe("POST");
  expect(new URLSearchParams(String(asked[0]?.init.body)).get("refresh_token")).toBe("kept");
  expect(asked[0]?.address).toBe("https://auth.r.io/token");
});

test("a registry's token goes as it is, and nobody is asked", async () => {
  const { asked, asking } = answering("");
  const own = { ...asking, credentials: { ...anonymous, registryToken: "given" } };
  expect(await answerChallenge(url, challenge, own)).toBe("Bearer given");
  expect(asked).toEqual([]);
});

test("whatever the service answers, it is a token or a Fault", async () => {
  const corpus = [{ token: "abc", access_token: "a.b.c", refresh_token: "r", expires_in: 300 }];
  const bodies = fc.oneof(
    damagedJson(corpus).map((value) => Buffer.from(JSON.stringify(value) ?? "")),
    damaged(corpus.map((one) => JSON.stringify(one))),
  );
  await checkAll(
    fc.tuple(bodies, fc.constantFrom(200, 401, 403, 404, 500)),
    async ([body, status]) => {
      const { asking } = answering(body, status);
      const token = await valueOrFault(() => tokenFor(url, challenge, asking));
      if (token !== undefined) expect(token.access).toMatch(/^[\x21-\x7e]+$/);
    },
  );
});

test("whatever the challenge is, it is answered or a Fault", async () => {
  const corpus = [
    'Bearer realm="https://a/b",service="c"',
    'Basic realm="x"',
    'Bearer realm="http://r.io/t"',
  ];
  await checkAll(damagedText(corpus), async (header) => {
    const { asked, asking } = answering('{"token":"abc"}');
    await valueOrFault(() => answerChallenge(url, chooseChallenge(header), asking));
    for (const { address } of asked) expect(address).toMatch(/^https:/);
  });
});

test("a reason is one line, and repeats no secret", async () => {
  const secrets = ["opensesame", btoa("ann:opensesame")];
  const corpus = [
    { errors: [{ code: "DENIED", message: `no, opensesame \u001b[2J ${secrets[1]}` }] },
    { details: "opensesame" },
    { message: "a\r\nb" },
  ];
  await checkAll(damagedJson(corpus), async (value) => {
    const response = new Response(JSON.stringify(value) ?? "", { status: 403 });
    const reason = await reasonOf(response, secrets, patient);
    expect(reason).not.toBe("");
    expect(reason).not.toMatch(/[\x00-\x1f]|opensesame/);
    expect(reason.length).toBeLessThanOrEqual(1024);
  });
  expect(presentable("x".repeat(5000), []).length).toBe(1024);
});
