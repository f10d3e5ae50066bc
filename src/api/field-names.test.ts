import { expect, test } from "bun:test";
import { z } from "zod";
import { withSchemaNames } from "./field-names.ts";
import { createBody, updateBody } from "./schemas.ts";

test("fields are found in any case, at any depth; names that a user gives are left alone", () => {
  const body = {
    image: "busybox",
    CMD: ["true"],
    labels: { Cmd: "a label", cmd: "another" },
    hostconfig: {
      memory: 1,
      portbindings: { "80/TCP": [{ hostport: "1" }] },
      mounts: [{ type: "bind", bindoptions: { nonrecursive: true } }],
    },
    unknown: { image: 1 },
  };
  expect(withSchemaNames(body, createBody)).toEqual({
    Image: "busybox",
    Cmd: ["true"],
    Labels: { Cmd: "a label", cmd: "another" },
    HostConfig: {
      Memory: 1,
      PortBindings: { "80/TCP": [{ HostPort: "1" }] },
      Mounts: [{ Type: "bind", BindOptions: { NonRecursive: true } }],
    },
    unknown: { image: 1 },
  });
  expect(withSchemaNames({ memory: 1, berth: { env: ["A=1"] } }, updateBody)).toEqual({
    Memory: 1,
    Berth: { Env: ["A=1"] },
  });
});

test("the exact name goes before another, whatever comes first; what is no object is left to the schema", () => {
  expect(withSchemaNames({ image: "a", Image: "b", IMAGE: "c" }, createBody)).toEqual({
    Image: "b",
  });
  for (const value of ["text", 1, null, ["a"]])
    expect(withSchemaNames(value, createBody)).toEqual(value);
  expect(withSchemaNames({ Mounts: "x", HostConfig: [1] }, createBody)).toEqual({
    Mounts: "x",
    HostConfig: [1],
  });
});

test("names that every object has are unknown fields like others", () => {
  const schema = z.object({ Image: z.string(), Labels: z.record(z.string(), z.string()) });
  const value = JSON.parse(
    '{"image":"a","constructor":{"x":1},"toString":[1],"__proto__":{"y":2},"Labels":{"valueOf":"b"}}',
  ) as unknown;
  expect(JSON.stringify(withSchemaNames(value, schema))).toBe(
    '{"Image":"a","constructor":{"x":1},"toString":[1],"__proto__":{"y":2},"Labels":{"valueOf":"b"}}',
  );
});
