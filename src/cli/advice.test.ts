import { expect, test } from "bun:test";
import { adviceFor } from "./advice.ts";

const id = "a1da9881cd496e6f8e0bc113f0fb2fb1bd16c46780d07655aba5cadcd27549e5";

test("what to do follows from docker's words", () => {
  for (const [message, help] of [
    [
      "driver failed programming external connectivity on endpoint a (b): failed to bind host port for 0.0.0.0:8080:172.17.0.4:80/tcp: address already in use",
      "berth ps --filter publish=8080",
    ],
    [
      "failed to bind host port for [::]:443:[fd00::2]:443/tcp: address already in use",
      "publish=443",
    ],
    [`container ${id} is not running`, "berth start a1da9881cd49"],
    [`remove data: volume is in use - [${id}]`, "berth rm a1da9881cd49"],
    [
      'error while removing network: network n1 has active endpoints (name:"web" id:"2ce114198492")',
      "berth network disconnect n1 web",
    ],
    ['exec: "ech": executable file not found in $PATH', "The image has no ech."],
    ["No such container: nope", "berth ps -a"],
    [
      'Get "https://localhost:1/v2/": dial tcp localhost:1: connect: connection refused',
      "localhost:1",
    ],
  ] as const)
    expect([message, adviceFor(message)]).toEqual([message, expect.stringContaining(help)]);
});

test("a failure that says itself what to do, and one that is not known, get nothing more", () => {
  for (const message of [
    "There is no such host as h: look at the address.",
    `cannot kill container: idle: container ${id} is not running`,
    "",
  ])
    expect([message, adviceFor(message)]).toEqual([message, ""]);
});
