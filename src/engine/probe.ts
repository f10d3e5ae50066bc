/**
 * One run of a health check's command, as an exec.
 */
import { goDuration } from "../base/durations.ts";
import { messageOf } from "../base/errors.ts";
import { after } from "../base/timers.ts";
import type { Container } from "./container.ts";
import type { ProbeRecord } from "./container-record.ts";
import type { Execs } from "./exec.ts";
import type { HealthCheck } from "./health.ts";

const OUTPUT_MAX = 4096;
/** Frames that are kept until the end; each has a head beside its data. */
const HELD_MAX = 64 << 10;
const NS_PER_MS = 1e6;
const FRAME_HEAD = 8;

/** The data of Docker's frames (stream, length, data), cut to what a result keeps; "..." tells of the cut. */
export function framedText(chunks: readonly Uint8Array[]): string {
  const bytes = Buffer.concat(chunks);
  const parts: Uint8Array[] = [];
  for (let at = 0; at + FRAME_HEAD <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + FRAME_HEAD, at + FRAME_HEAD + length));
    at += FRAME_HEAD + length;
  }
  const text = Buffer.concat(parts);
  if (text.length <= OUTPUT_MAX) return text.toString("utf8");
  return `${text.toString("utf8", 0, OUTPUT_MAX)}...`;
}

/** Runs the check's command. What keeps it from running is a failed probe, with the reason as its output. */
export async function runProbe(
  execs: Execs,
  container: Container,
  check: HealthCheck,
): Promise<ProbeRecord> {
  const start = new Date().toISOString();
  const chunks: Uint8Array[] = [];
  let held = 0;
  const ended = (exitCode: number, output: string): ProbeRecord => ({
    start,
    end: new Date().toISOString(),
    exitCode,
    output,
  });
  try {
    const id = execs.create(container, {
      args: check.args,
      tty: false,
      streams: { stdin: false, stdout: true, stderr: true },
      env: [],
      user: "",
      workingDirectory: "",
      privileged: false,
      detachKeys: "",
    });
    const exec = execs.get(id);
    const drained = Promise.withResolvers<void>();
    const stream = await execs.start(exec, undefined, {
      data: (chunk) => {
        if (held < HELD_MAX) chunks.push(chunk.slice());
        held += chunk.length;
      },
      end: () => drained.resolve(),
      drain: () => {},
    });
    let late = false;
    const inTime = after(check.timeout, () => {
      late = true;
      void execs.kill(exec);
    });
    const status = await exec.exited;
    inTime();
    // A child that the command has left behind may keep the output open.
    await Promise.race([drained.promise, Bun.sleep(100)]);
    stream.close();
    const output = framedText(chunks);
    if (late)
      return ended(
        -1,
        `Health check exceeded timeout (${goDuration(check.timeout * NS_PER_MS)})${output === "" ? "" : `: ${output}`}`,
      );
    return ended(status, output);
  } catch (error) {
    return ended(-1, messageOf(error));
  }
}
