/** Requests that meet in the middle of something: a start, a stop, an end, a removal, the daemon's own death. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { shimFrames } from "../../src/spec/wire.ts";
import { encodeRecords } from "../../src/spec/wire-codec.ts";
import { daemonOfFile } from "../kits/daemon.ts";
import { giveToDaemon } from "../kits/scratch.ts";

const daemon = daemonOfFile();

type Record_ = Record<string, unknown> & { state: Record<string, unknown> };

async function create(name: string, Cmd: readonly string[], more: object = {}): Promise<string> {
  const body = { Image: "busybox", Cmd, HostConfig: { NetworkMode: "none" }, ...more };
  const { status, text } = await daemon.api("POST", `/containers/create?name=${name}`, body);
  expect(`${status} ${text}`).toStartWith("201");
  return (JSON.parse(text) as { Id: string }).Id;
}

async function state(name: string): Promise<Record<string, unknown>> {
  const { text } = await daemon.api("GET", `/containers/${name}/json`);
  return (JSON.parse(text) as { State: Record<string, unknown> }).State;
}

/** Changes what a daemon that is dead has stored: what it would have left if it had been killed between two lines. */
function rewrite(id: string, change: (record: Record_) => void): void {
  const db = new Database(`${daemon.directory}/data/containers.db`);
  const row = db
    .query<{ record: string }, [string]>("SELECT record FROM containers WHERE id = ?")
    .get(id);
  const record = JSON.parse(row?.record ?? "") as Record_;
  change(record);
  db.run("UPDATE containers SET record = ? WHERE id = ?", [JSON.stringify(record), id]);
  db.close();
}

const runDirectory = (id: string) => `${daemon.directory}/exec/c/${id.slice(0, 32)}`;

async function running(pid: number): Promise<boolean> {
  return (
    existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/status`, "utf8").includes("zombie")
  );
}

describe("starts", () => {
  test("whoever attaches while a start is under way is joined to it, at whatever moment", async () => {
    for (let moment = 0; moment < 24; moment++) {
      await create("meets", ["sh", "-c", "sleep 0.2; echo here"]);
      const started = daemon.api("POST", "/containers/meets/start");
      await Bun.sleep(moment / 2);
      const attached = daemon.api("POST", "/containers/meets/attach?stream=1&stdout=1");
      const late = Bun.sleep(5000).then(() => ({ text: `never joined at ${moment}` }));
      expect((await Promise.race([attached, late])).text).toContain("here");
      expect((await started).status).toBe(204);
      await daemon.api("DELETE", "/containers/meets?force=1");
    }
  }, 60_000);

  test("many starts at once start once", async () => {
    await create("once", ["sleep", "1000"]);
    const all = await Promise.all(
      Array.from({ length: 8 }, () => daemon.api("POST", "/containers/once/start")),
    );
    expect(all.map(({ status }) => status).sort()).toEqual([204, ...Array(7).fill(304)]);
    await daemon.api("DELETE", "/containers/once?force=1");
  });
});

describe("stops and restarts", () => {
  test("a start that meets the removal of a container with --rm is refused, and nothing is left", async () => {
    for (let round = 0; round < 15; round++) {
      const flags = ["--rm", "--name", "going", "-v", "/data", "-p", "127.0.0.1::80"];
      expect((await daemon.berth("create", ...flags, "busybox", "true")).err).toBe("");
      expect((await daemon.api("POST", "/containers/going/start")).status).toBe(204);
      const starting = async () => {
        for (;;) {
          const { status, text } = await daemon.api("POST", "/containers/going/start");
          expect(`${status} ${text}`).toMatch(/^(304|404|409)\b/);
          if (status === 404) return;
        }
      };
      await Promise.all(Array.from({ length: 6 }, starting));
    }
    expect((await daemon.berth("ps", "-aq")).out).toBe("");
  });

  test("restart keeps a container that is removed when it ends", async () => {
    await daemon.berth("run", "-d", "--rm", "--name", "kept", "busybox", "sleep", "1000");
    const { Pid } = await state("kept");
    expect(await daemon.docker("restart", "-t", "0", "kept")).toMatchObject({ status: 0, err: "" });
    const after = await state("kept");
    expect(after).toMatchObject({ Status: "running" });
    expect(after.Pid).not.toBe(Pid);
    expect((await daemon.berth("stop", "-t", "0", "kept")).status).toBe(0);
    const deadline = Date.now() + 5000;
    while ((await daemon.api("GET", "/containers/kept/json")).status !== 404)
      if (Date.now() > deadline) throw new Error("it is still there");
  });

  test("a restart that meets the container's end starts it", async () => {
    for (let round = 0; round < 10; round++) {
      await create("ends", ["sh", "-c", "sleep 0.05"]);
      await daemon.api("POST", "/containers/ends/start");
      await Bun.sleep(40 + round * 2);
      expect((await daemon.api("POST", "/containers/ends/restart?t=0")).status).toBe(204);
      await daemon.api("DELETE", "/containers/ends?force=1");
    }
  });

  test("a second stop with less patience is not kept waiting by the first", async () => {
    await create("deaf", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    await daemon.api("POST", "/containers/deaf/start");
    const patient = daemon.api("POST", "/containers/deaf/stop?t=600");
    await Bun.sleep(100);
    expect(
      (await daemon.api("POST", "/containers/deaf/update", { Memory: 64 << 20, MemorySwap: -1 }))
        .status,
    ).toBe(200);
    expect((await daemon.api("POST", "/containers/deaf/stop?t=0")).status).toBe(204);
    expect((await patient).status).toBe(204);
    await daemon.api("DELETE", "/containers/deaf");
  });

  test("times longer than the timers of a JavaScript runtime take are waited for", async () => {
    await create("month", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], {
      Healthcheck: { Test: ["CMD", "true"], Interval: 2_500_000_000 * 1_000_000 },
    });
    await daemon.api("POST", "/containers/month/start");
    const events = daemon.api(
      "GET",
      `/events?until=${Math.floor(Date.now() / 1000) + 3_000_000}&filters={"container":["month"]}`,
    );
    const stopped = daemon.api("POST", "/containers/month/stop?t=2500000");
    const first = await Promise.race([
      events.then(() => "events"),
      stopped.then(() => "stop"),
      Bun.sleep(700).then(() => "neither"),
    ]);
    expect(first).toBe("neither");
    expect(await state("month")).toMatchObject({
      Status: "running",
      Health: { Status: "starting", Log: [] },
    });
    await daemon.api("POST", "/containers/month/kill");
    await stopped;
    await daemon.api("DELETE", "/containers/month");
  });
});

describe("removals", () => {
  test("an update that waits behind a removal does not bring the container back", async () => {
    const id = await create("gone", ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    await daemon.api("POST", "/containers/gone/start");
    const answers = await Promise.all([
      daemon.api("POST", "/containers/gone/stop?t=1"),
      daemon.api("DELETE", "/containers/gone?force=1"),
      daemon.api("POST", `/containers/${id}/update`, { RestartPolicy: { Name: "always" } }),
    ]);
    expect(answers.map(({ status }) => status)).not.toContain(500);
    await daemon.kill();
    await daemon.start();
    expect((await daemon.berth("ps", "-aq", "--no-trunc")).out).not.toContain(id);
  });
});

describe("execs", () => {
  test("what could not be run leaves nothing in the list of execs", async () => {
    await daemon.berth(
      "run",
      "-d",
      "--name",
      "lists",
      "--network",
      "none",
      "busybox",
      "sleep",
      "1000",
    );
    for (let i = 0; i < 3; i++)
      expect((await daemon.berth("exec", "lists", "no-such-thing")).status).toBe(127);
    expect(await daemon.inspect("lists", "{{json .ExecIDs}}")).toBe("null");
    await daemon.berth("rm", "-f", "lists");
  });

  test("each start of an exec is told of before its end", async () => {
    const since = (Date.now() / 1000 - 1).toFixed(3);
    await create("tells", ["sleep", "1000"]);
    await daemon.api("POST", "/containers/tells/start");
    const ids = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const made = await daemon.api("POST", "/containers/tells/exec", {
          Cmd: ["true"],
          AttachStdout: true,
        });
        const { Id } = JSON.parse(made.text) as { Id: string };
        await daemon.api("POST", `/exec/${Id}/start`, {});
        return Id;
      }),
    );
    const { text } = await daemon.api(
      "GET",
      `/events?since=${since}&until=${(Date.now() / 1000 + 0.05).toFixed(3)}`,
    );
    const events = text
      .trim()
      .split(/\r?\n/)
      .map(
        (line) =>
          JSON.parse(line) as {
            Action: string;
            timeNano: number;
            Actor: { Attributes: { execID?: string } };
          },
      );
    for (const id of ids) {
      const own = events.filter(({ Actor }) => Actor.Attributes.execID === id);
      expect(own.map(({ Action }) => Action.split(":")[0] ?? "")).toEqual([
        "exec_create",
        "exec_start",
        "exec_die",
      ]);
    }
    const times = events.map(({ timeNano }) => timeNano);
    expect(times.every((time, at) => at === 0 || time > (times[at - 1] ?? 0))).toBe(true);
    await daemon.api("DELETE", "/containers/tells?force=1");
  });

  test("an exec of an earlier daemon is not taken for one of this", async () => {
    await create("both", ["sleep", "1000"]);
    await daemon.api("POST", "/containers/both/start");
    const exec = async (Cmd: readonly string[]) => {
      const made = await daemon.api("POST", "/containers/both/exec", { Cmd });
      const { Id } = JSON.parse(made.text) as { Id: string };
      await daemon.api("POST", `/exec/${Id}/start`, { Detach: true });
      return Id;
    };
    const look = async (id: string) =>
      JSON.parse((await daemon.api("GET", `/exec/${id}/json`)).text) as {
        Running: boolean;
        ExitCode: number | null;
        Pid: number;
      };
    await daemon.kill();
    await daemon.start();
    const older = await look(await exec(["sleep", "1000"]));
    await daemon.kill();
    await daemon.start();
    const newer = await exec(["sh", "-c", "sleep 0.7; exit 7"]);
    process.kill(older.Pid, "SIGKILL");
    await Bun.sleep(200);
    expect(await look(newer)).toMatchObject({ Running: true });
    while ((await look(newer)).Running) await Bun.sleep(20);
    expect(await look(newer)).toMatchObject({ ExitCode: 7 });
    await daemon.api("DELETE", "/containers/both?force=1");
  });
});

describe("a daemon that was killed between two lines", () => {
  test("after an end and before its clean-up was noted: the exit code stays", async () => {
    const id = await create("five", ["sh", "-c", "exit 5"]);
    await daemon.api("POST", "/containers/five/start");
    await daemon.api("POST", "/containers/five/wait");
    await daemon.until("five", "{{.State.Status}}", "exited");
    const before = await state("five");
    await daemon.kill();
    const endpoint = {
      endpointId: "e",
      address: "10.255.0.9",
      prefix: 24,
      gateway: "10.255.0.1",
      mac: "02:42:0a:ff:00:09",
      ports: [],
    };
    rewrite(id, (record) => {
      record.endpoint = endpoint;
    });
    await daemon.start();
    expect(await state("five")).toEqual(before);
    await daemon.api("DELETE", "/containers/five");
  });

  test("in the middle of a removal: the next one finishes it", async () => {
    const id = await create("half", ["true"]);
    await daemon.kill();
    rmSync(`${daemon.directory}/data/containers/${id}`, { recursive: true });
    await daemon.start();
    expect((await daemon.api("GET", `/containers/${id}/json`)).status).toBe(404);
    expect(existsSync(`${daemon.directory}/data/overlay2/containers/${id}`)).toBe(false);
    await daemon.kill();
    await daemon.start();
    expect((await daemon.berth("ps", "-aq")).out).toBe("");
  });

  test("after a start and before that was noted: what runs is known to run", async () => {
    const id = await create("runs", ["sleep", "1000"]);
    await daemon.api("POST", "/containers/runs/start");
    const { Pid } = await state("runs");
    await daemon.kill();
    rewrite(id, (record) => {
      Object.assign(record.state, { status: "created", pid: 0, startedAt: "" });
      record.hasBeenStarted = false;
    });
    await daemon.start();
    const after = await state("runs");
    expect(after).toMatchObject({ Status: "running", Pid });
    expect(Date.parse(String(after.StartedAt))).toBeGreaterThan(Date.now() - 60_000);
    await daemon.api("DELETE", "/containers/runs?force=1");
  });

  test("between the freezer and the record: both agree afterwards", async () => {
    const id = await create("cold", ["sh", "-c", "while :; do sleep 0.01; done"]);
    await daemon.api("POST", "/containers/cold/start");
    const { Pid } = await state("cold");
    const ticks = () =>
      Number(readFileSync(`/proc/${Pid}/stat`, "utf8").split(") ")[1]?.split(" ")[13]);
    const moves = async () => {
      const before = ticks();
      for (let tries = 0; tries < 100; tries++) {
        if (ticks() !== before) return true;
        await Bun.sleep(10);
      }
      return false;
    };
    await daemon.api("POST", "/containers/cold/pause");
    await daemon.kill();
    rewrite(id, (record) => {
      record.state.status = "running";
    });
    await daemon.start();
    expect(await state("cold")).toMatchObject({ Status: "running" });
    expect(await moves()).toBe(true);
    await daemon.kill();
    rewrite(id, (record) => {
      record.state.status = "paused";
    });
    await daemon.start();
    expect(await state("cold")).toMatchObject({ Status: "paused" });
    await Bun.sleep(50);
    expect(await moves()).toBe(false);
    await daemon.api("DELETE", "/containers/cold?force=1");
  });

  test("a container that is paused in another's PID namespace ends with it, by whatever way and under the next daemon", async () => {
    const script = "trap 'exit 3' TERM; while :; do sleep 0.02; test -e /end && exit 4; done";
    for (const way of ["stop", "kill", "itself", "after kill -9"]) {
      await create("host1", ["sh", "-c", script]);
      await daemon.api("POST", "/containers/host1/start");
      const HostConfig = { NetworkMode: "none", PidMode: "container:host1" };
      await create("guest", ["sleep", "1000"], { HostConfig });
      await daemon.api("POST", "/containers/guest/start");
      expect((await daemon.api("POST", "/containers/guest/pause")).status).toBe(204);
      if (way === "after kill -9") {
        await daemon.kill();
        await daemon.start();
      }
      expect(await state("guest")).toMatchObject({ Status: "paused" });
      if (way === "itself") await daemon.berth("exec", "host1", "touch", "/end");
      else await daemon.api("POST", `/containers/host1/${way === "kill" ? "kill" : "stop?t=5"}`);
      expect((await daemon.berth("wait", "host1")).out).toBe(
        { kill: "137\n", itself: "4\n" }[way] ?? "3\n",
      );
      expect((await daemon.berth("wait", "guest")).out).toBe("137\n");
      for (const name of ["guest", "host1"])
        expect((await daemon.api("DELETE", `/containers/${name}`)).status).toBe(204);
    }
  }, 60_000);

  test("an end in the moment of the take-over is not overlooked", async () => {
    const id = await create("moment", ["sleep", "1000"]);
    await daemon.api("POST", "/containers/moment/start");
    const { Pid } = await state("moment");
    const shim = Number(/PPid:\s*(\d+)/.exec(readFileSync(`/proc/${Pid}/status`, "utf8"))?.[1]);
    await daemon.kill();
    process.kill(shim, "SIGKILL");
    while (await running(Number(Pid))) await Bun.sleep(5);
    const socket = `${runDirectory(id)}/shim.sock`;
    rmSync(socket);
    const finished = BigInt(Date.now()) * 1_000_000n;
    const end = { exec: 0, status: 9, signal: 0, oom_kills: 0n, finished_ns: finished } as const;
    // A shim that tells of the container's end in the breath in which it tells how it stands.
    const server = Bun.listen({
      unix: socket,
      socket: {
        data(client) {
          client.write(
            encodeRecords(
              shimFrames,
              { name: "state", phase: 2, pid: Number(Pid) },
              { name: "exited", ...end },
            ),
          );
          client.end();
        },
      },
    });
    giveToDaemon(socket);
    await daemon.start();
    server.stop(true);
    expect(await state("moment")).toMatchObject({ Status: "exited", ExitCode: 9, Pid: 0 });
    await daemon.api("DELETE", "/containers/moment");
  });
});
