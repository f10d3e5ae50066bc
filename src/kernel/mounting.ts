/**
 * Mounts on the host, each by a process of its own: a server that does not answer holds up nobody else.
 */
import { kernelError } from "./client.ts";

/** How a mount is to be, as mount_setattr(2) takes it. */
export interface HostMountAttributes {
  readonly set: bigint;
  readonly clear: bigint;
  readonly propagation: bigint;
}

/** One mount on the host. */
export type HostMount = HostMountAttributes & { readonly target: string } & (
    | { readonly type: string; readonly source: string; readonly params: readonly string[] }
    | { readonly bind: string; readonly recursive: boolean }
  );

/** Mounting on the host. */
export interface HostMounts {
  /** Rejects with a KernelError whose detail is what the file system says of it, if anything. */
  mount(mount: HostMount): Promise<void>;
  /** Takes the uppermost mount at a path away. */
  unmount(target: string): Promise<void>;
}

/** A server that says nothing for so long is given up; ETIMEDOUT. */
const PATIENCE_MS = 120_000;
const ETIMEDOUT = 110;

/** By berth-helper. */
export function hostMounts(helperPath: string): HostMounts {
  async function call(args: readonly string[], input: string): Promise<void> {
    const child = Bun.spawn([helperPath, ...args], {
      stdin: new TextEncoder().encode(input),
      stdout: "ignore",
      stderr: "pipe",
      env: {},
      cwd: "/",
      timeout: PATIENCE_MS,
      killSignal: "SIGKILL",
    });
    const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
    if (status === 0) return;
    const [, errno, detail = ""] = /^(\d+) (.*)$/m.exec(said) ?? [];
    if (child.signalCode === "SIGKILL") throw kernelError(ETIMEDOUT, "");
    throw errno === undefined
      ? new Error(said.trim() || `berth-helper ${args[0]}: status ${status}`)
      : kernelError(Number(errno), detail.trim());
  }
  return {
    mount(mount) {
      const numbers = [mount.set, mount.clear, mount.propagation].map(String);
      if ("bind" in mount)
        return call(
          ["bind", mount.recursive ? "1" : "0", mount.bind, mount.target, ...numbers],
          "",
        );
      const input = mount.params.map((param) => `${param}\0`).join("");
      return call(["mount", mount.type, mount.source, mount.target, ...numbers], input);
    },
    unmount: (target) => call(["unmount", target], ""),
  };
}
