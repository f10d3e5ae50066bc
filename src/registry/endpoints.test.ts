/** Which registries may be reached without a certificate, by name and by address. */
import { expect, test } from "bun:test";
import { findEndpoints, isInsecure } from "./endpoints.ts";

const settings = {
  insecure: ["lab:5000", "plain", "10.1.0.0/16", "fd00::/8"],
  mirrors: [],
  certificates: [],
};

test.each([
  ["lab:5000", true],
  ["lab:5001", false],
  ["plain", true],
  ["plain:5000", true],
  ["10.1.2.3:5000", true],
  ["10.2.2.3:5000", false],
  ["[fd00::1]:5000", true],
  ["[fe00::1]", false],
  ["127.1.2.3:5000", true],
  ["localhost:5000", true],
  ["[::1]:5000", true],
  ["r.example", false],
  ["127.0.0.1.r.example", false],
])("%s: %p", (host, insecure) => {
  expect(isInsecure(host, settings)).toBe(insecure);
});

const urls = async (domain: string, addresses: readonly string[]) => {
  const asked: string[] = [];
  const found = await findEndpoints(domain, settings, async (name) => {
    asked.push(name);
    if (addresses.length === 0) throw new Error("no such name");
    return addresses;
  });
  return { asked, urls: found.map(({ url }) => url), tls: found[0]?.tls.rejectUnauthorized };
};

test("a name whose address is in an insecure block is insecure", async () => {
  expect(await urls("r.example:5000", ["192.0.2.1", "10.1.9.9"])).toEqual({
    asked: ["r.example"],
    urls: ["https://r.example:5000/v2", "http://r.example:5000/v2"],
    tls: false,
  });
  for (const addresses of [["192.0.2.1"], []])
    expect(await urls("r.example:5000", addresses)).toEqual({
      asked: ["r.example"],
      urls: ["https://r.example:5000/v2"],
      tls: undefined,
    });
  // Docker's own never is.
  expect(await urls("docker.io", ["10.1.1.1"])).toEqual({
    asked: [],
    urls: ["https://registry-1.docker.io/v2"],
    tls: undefined,
  });
});
