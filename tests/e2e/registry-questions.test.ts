/** What registries are asked without fetching anything: searches, descriptors, manifests, and what `info` tells of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { daemonOfFile } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";

const registry = new FakeRegistry();
const GOOD = `Basic ${btoa("ann:opensesame")}`;

const results = [
  { name: "few", description: "one\nand two", star_count: 3, is_official: false, extra: 1 },
  {
    name: "official",
    description: "A description that is much longer than what a table has room for",
    star_count: 900,
    is_official: true,
    is_automated: true,
  },
  { name: "none", star_count: 0, is_official: false },
  { description: "of nothing" },
];

beforeAll(() => registry.start());
afterAll(() => registry.stop());

const daemon = daemonOfFile([
  "--insecure-registry",
  "10.1.0.0/16",
  "--insecure-registry",
  "http://lab:5000",
  "--registry-mirror",
  "http://mirror.example:5000",
  // Registries on this host are reached without.
  "--http-proxy",
  "http://ann:opensesame@127.0.0.1:1",
  "--https-proxy",
  "http://ann:opensesame@127.0.0.1:1",
]);

/** What some answer has; none has all of it. */
type Answer = { message: string; RegistryConfig: unknown };
const listed = (json: unknown) => json as Record<string, unknown>[];
const plain = (json: unknown) => json;

const api = async (path: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`http://x${path}`, { unix: daemon.socket, headers });
  return { status: response.status, json: (await response.json()) as Answer };
};
const searched = (rest: string) => api(`/images/search?term=${registry.address}/word+s${rest}`);

function searchable(): void {
  registry.lie = ({ path }, response) => {
    if (!path.startsWith("/v1/search")) return false;
    response.end(JSON.stringify({ num_results: 3, query: "x", results }));
    return true;
  };
}

test("a search: what is asked, and what is told", async () => {
  searchable();
  const { status, json } = await searched("&limit=7");
  expect(status).toBe(200);
  expect(plain(json)).toEqual([
    {
      name: "few",
      description: "one\nand two",
      star_count: 3,
      is_official: false,
      is_automated: false,
    },
    {
      name: "official",
      description: results[1]?.description,
      star_count: 900,
      is_official: true,
      is_automated: false,
    },
    { name: "none", description: "", star_count: 0, is_official: false, is_automated: false },
  ]);
  expect(registry.asked.at(-1)?.path).toBe("/v1/search?q=word+s&n=7");
  await searched("");
  expect(registry.asked.at(-1)?.path).toBe("/v1/search?q=word+s&n=25");
  expect(listed((await searched("&limit=1")).json).length).toBe(1);
});

test("filters of a search", async () => {
  searchable();
  const names = async (filters: object) =>
    listed((await searched(`&filters=${encodeURIComponent(JSON.stringify(filters))}`)).json).map(
      ({ name }) => name,
    );
  expect(await names({ stars: ["3"] })).toEqual(["few", "official"]);
  expect(await names({ stars: ["3", "10"] })).toEqual(["official"]);
  expect(await names({ "is-official": ["true"] })).toEqual(["official"]);
  expect(await names({ "is-official": ["0"] })).toEqual(["few", "none"]);
  expect(await names({ "is-automated": ["true"] })).toEqual([]);
  expect(await names({ "is-automated": ["false"] })).toEqual(["few", "official", "none"]);
});

test("what is no search", async () => {
  searchable();
  const message = async (path: string) => {
    const { status, json } = await api(`/images/search?${path}`);
    return `${status} ${json.message}`;
  };
  expect(await message("term=a&limit=101")).toBe("400 limit 101 is outside the range of [1, 100]");
  expect(await message("term=a&limit=-1")).toBe("400 limit -1 is outside the range of [1, 100]");
  expect(await message("term=a&limit=x")).toStartWith("400 strconv.Atoi");
  expect(await message("")).toBe("400 a search needs a term");
  expect(await message("term=https://a/b")).toContain("should not have a scheme");
  expect(await message('term=a&filters={"nosuch":["1"]}')).toBe("400 invalid filter 'nosuch'");
  expect(await message('term=a&filters={"is-official":["x"]}')).toBe(
    "400 invalid filter 'is-official=[x]'",
  );
  expect(await message('term=a&filters={"stars":["x"]}')).toStartWith(
    "400 invalid filter 'stars=x'",
  );
  registry.lie = (_asked, response) => {
    response.writeHead(404);
    response.end("no");
    return true;
  };
  expect(await message(`term=${registry.address}/a`)).toBe("500 Unexpected status code 404");
  registry.lie = (_asked, response) => {
    response.end('{"results":7}');
    return true;
  };
  expect(await message(`term=${registry.address}/a`)).toBe(
    "500 error decoding registry search results",
  );
});

test("both command lines show the same", async () => {
  searchable();
  const term = `${registry.address}/word`;
  for (const args of [
    [term],
    ["--no-trunc", term],
    ["--limit", "2", term],
    ["-f", "is-official=true", term],
    ["--format", "{{.Name}}: {{.StarCount}} {{.IsOfficial}}", term],
    ["--format", "table {{.Name}}\t{{.Description}}", term],
    ["--format", "json", term],
  ]) {
    const [own, stock] = await Promise.all([
      daemon.berth("search", ...args),
      daemon.docker("search", ...args),
    ]);
    expect(own).toEqual(stock);
    expect(own.out).toContain("official");
  }
});

test("a search with the login that is kept, and with none", async () => {
  registry.lie = ({ headers }, response) => {
    if (headers.authorization === GOOD) response.end(JSON.stringify({ results }));
    else {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' });
      response.end();
    }
    return true;
  };
  const auth = btoa(JSON.stringify({ username: "ann", password: "opensesame" }));
  const path = `/images/search?term=${registry.address}/a`;
  expect(listed((await api(path, { "X-Registry-Auth": auth })).json).length).toBe(3);
  expect((await api(path)).status).toBe(401);
  expect(daemon.log).not.toContain("opensesame");
});

test("descriptors of images, indexes and artifacts", async () => {
  registry.lie = () => false;
  const amd = registry.image(Buffer.alloc(1024), "amd");
  const arm = registry.image(Buffer.alloc(2048), "arm", { architecture: "arm", variant: "v7" });
  const index = registry.index(
    [
      { ...amd, platform: { os: "linux", architecture: "amd64" } },
      { ...arm, platform: { os: "linux", architecture: "arm", variant: "v7", "os.version": "9" } },
    ],
    "both",
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const empty = registry.blob("{}", "application/vnd.oci.empty.v1+json");
  const artifact = registry.document(
    { schemaVersion: 2, mediaType, artifactType: "a/b", config: empty, layers: [empty] },
    mediaType,
    "artifact",
  );
  const described = (name: string) => api(`/distribution/${registry.address}/app${name}/json`);
  expect(plain((await described(":amd")).json)).toEqual({
    Descriptor: amd,
    Platforms: [{ os: "linux", architecture: "amd64" }],
  });
  expect(plain((await described(`@${arm.digest}`)).json)).toEqual({
    Descriptor: arm,
    Platforms: [{ os: "linux", architecture: "arm", variant: "v7" }],
  });
  expect(plain((await described(":both")).json)).toEqual({
    Descriptor: index,
    Platforms: [
      { os: "linux", architecture: "amd64" },
      { os: "linux", architecture: "arm", variant: "v7", "os.version": "9" },
    ],
  });
  expect(plain((await described(":artifact")).json)).toEqual({
    Descriptor: artifact,
    Platforms: [],
  });
  expect((await described(":none")).status).toBe(404);
  expect((await api("/distribution/UPPER/json")).status).toBe(400);
  expect((await api("/distribution/app")).status).toBe(404);
  registry.lie = (_asked, response) => {
    response.writeHead(401);
    response.end();
    return true;
  };
  expect((await described(":amd")).status).toBe(401);
});

test("manifest inspect says what the stock command line says", async () => {
  registry.lie = () => false;
  const amd = registry.image(Buffer.alloc(1024), "amd");
  const arm = registry.image(Buffer.alloc(2048), "arm", { architecture: "arm", variant: "v7" });
  registry.index(
    [
      { ...amd, platform: { architecture: "amd64", os: "linux" } },
      { ...arm, platform: { architecture: "arm", os: "linux", variant: "v7" } },
    ],
    "both",
  );
  for (const args of [["amd"], ["both"], ["-v", "amd"], ["-v", "both"]]) {
    const flags = ["--insecure", ...args.slice(0, -1)];
    const name = `${registry.address}/app:${args.at(-1)}`;
    const [own, stock] = await Promise.all([
      daemon.berth("manifest", "inspect", ...flags, name),
      daemon.docker("manifest", "inspect", ...flags, name),
    ]);
    expect(own).toMatchObject({ status: 0, err: "" });
    expect(JSON.parse(own.out)).toEqual(JSON.parse(stock.out));
  }
  const none = await daemon.berth("manifest", "inspect", `${registry.address}/app:none`);
  expect(none.status).toBe(1);
  expect(none.err).toContain("manifest unknown");
});

test("info tells how registries are reached", async () => {
  const { json } = await api("/info");
  const shown = "http://mirror.example:5000/";
  expect(json.RegistryConfig).toEqual({
    IndexConfigs: {
      "docker.io": { Name: "docker.io", Mirrors: [shown], Secure: true, Official: true },
      "lab:5000": { Name: "lab:5000", Mirrors: [], Secure: false, Official: false },
    },
    InsecureRegistryCIDRs: ["10.1.0.0/16", "::1/128", "127.0.0.0/8"],
    Mirrors: [shown],
  });
  expect(json).toMatchObject({
    HttpProxy: "http://xxxxx:xxxxx@127.0.0.1:1",
    NoProxy: "localhost,127.0.0.0/8,::1",
  });
  const far = await daemon.berth("pull", "203.0.113.7:5000/app");
  expect(far.status).toBe(1);
  expect(far.err + daemon.log).not.toContain("opensesame");
  const stock = await daemon.docker("info");
  expect(stock.out).toContain(` Registry Mirrors:\n  ${shown}\n`);
});
