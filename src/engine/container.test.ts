import { expect, test } from "bun:test";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./container-record.ts";

test("who stops waiting is forgotten, who goes on is told", async () => {
  const state = { status: "running", exitCode: 0, error: "" };
  const container = new Container({ id: "c", state } as ContainerRecord);
  const left = new AbortController();
  for (const condition of ["not-running", "next-exit", "removed"] as const)
    void container.wait(condition, left.signal);
  const stays = container.wait("next-exit", new AbortController().signal);
  expect(container.waiters).toBe(4);
  left.abort();
  expect(container.waiters).toBe(1);
  Object.assign(state, { status: "exited", exitCode: 3 });
  container.tellExit();
  expect(await stays).toEqual({ code: 3 });
  expect(await container.wait("not-running", left.signal)).toEqual({ code: 3 });
  expect(container.waiters).toBe(0);
});
