import { expect, test } from "bun:test";
import { once } from "node:events";
import { ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { HeadPatience } from "./head-patience.ts";

test("a connection without a head ends, and so does one on which no further head comes", async () => {
  const patience = new HeadPatience(30);
  const [silent, heard, answered] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let said = "";
  silent.on("data", (bytes) => {
    said += bytes;
  });
  for (const socket of [silent, heard, answered]) patience.begin(socket);
  patience.heard(heard);
  const response = Object.create(ServerResponse.prototype) as ServerResponse;
  patience.request(answered, response);
  await once(silent, "close");
  expect([heard.destroyed, answered.destroyed]).toEqual([false, false]);
  response.emit("close");
  await once(answered, "close");
  expect(heard.destroyed).toBe(false);
  expect(said === "" || said.startsWith("HTTP/1.1 408")).toBe(true);
});
