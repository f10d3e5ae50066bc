/** Where a registry may lead us, and where not. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { checkAll, damagedText, valueOrFault } from "../../tests/kits/fuzz.ts";
import { isLoopback, ledTo } from "./targets.ts";

const remote = new URL("https://r.io/v2/a");
const plain = new URL("http://lab:5000/v2/a");
const local = new URL("http://127.0.0.1:5000/v2/a");

test("elsewhere, and on", () => {
  expect(ledTo("/v2/b?c=d", remote).href).toBe("https://r.io/v2/b?c=d");
  expect(ledTo("https://cdn.example/x", remote).href).toBe("https://cdn.example/x");
  expect(ledTo("http://store:9000/x", plain).href).toBe("http://store:9000/x");
  expect(ledTo("http://localhost:1/x", local).href).toBe("http://localhost:1/x");
  expect(ledTo("https://ann:pw@cdn.example/x", remote).href).toBe("https://cdn.example/x");
});

test.each([
  ["http://r.io/", remote, "out of TLS"],
  ["file:///etc/shadow", remote, "no HTTP"],
  ["unix:/run/berth.sock", local, "no HTTP"],
  ["http://[", remote, "no address"],
  ["https://127.0.0.1/", remote, "this machine"],
  ["https://2130706433/", remote, "this machine"],
  ["https://0x7f.1/", remote, "this machine"],
  ["https://0.0.0.0/", remote, "this machine"],
  ["https://[::1]/", remote, "this machine"],
  ["https://[::ffff:127.0.0.1]/", remote, "this machine"],
  ["https://a.localhost/", remote, "this machine"],
  ["https://LOCALHOST./", remote, "this machine"],
  ["http://localhost/", plain, "this machine"],
  ["https://169.254.169.254/latest", remote, "link-local"],
  ["http://169.254.169.254/latest", local, "link-local"],
  ["http://0251.0376.0251.0376/", plain, "link-local"],
  ["http://[::ffff:169.254.169.254]/", plain, "link-local"],
  ["http://[fe80::1]/", plain, "link-local"],
  ["http://[fd00:ec2::254]/", plain, "link-local"],
])("not to %s from %s", (to, from, why) => {
  expect(() => ledTo(to, from)).toThrow(why);
});

test("whatever a registry names, it is HTTP elsewhere or a Fault", async () => {
  const corpus = ["https://cdn.example/a?b#c", "//127.0.0.1/x", "http://[::1]:5/", "/v2/x", "a"];
  const inputs = fc.oneof(damagedText(corpus), fc.webUrl());
  await checkAll(inputs, async (text) => {
    const url = await valueOrFault(() => ledTo(text, remote));
    if (url === undefined) return;
    expect(url.protocol).toBe("https:");
    expect(isLoopback(url.hostname)).toBe(false);
    expect(url.username + url.password).toBe("");
  });
});
