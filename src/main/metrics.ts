/**
 * The daemon's numbers for Prometheus: what it is, what its own process uses, and what the engine tells; as text, and on a
 * socket of its own (--metrics-addr).
 */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { totalmem } from "node:os";
import type { SystemPort } from "../api/index.ts";
import { fault, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import {
  type Exposition,
  expositionFor,
  expositionOf,
  expositionTypes,
  type Family,
} from "../base/metrics.ts";
import { type EngineDeps, engineMetrics } from "../engine/index.ts";
import type { Address } from "./options.ts";

const PAGE = 4096;
const TICKS = 100;

const gauge = (name: string, help: string, value: number): Family => ({
  name,
  type: "gauge",
  help,
  samples: [{ value }],
});

/** A limit of /proc/PID/limits. */
function softLimit(limits: string, name: string): number {
  const word = new RegExp(`^${name} +(\\S+)`, "m").exec(limits)?.[1];
  return word === undefined || word === "unlimited" ? Number.POSITIVE_INFINITY : Number(word);
}

/** This process, under the names that every client of Prometheus uses. */
export function processFamilies(root = "/proc"): Family[] {
  const read = (path: string) => readFileSync(`${root}/${path}`, "utf8");
  // The name, in brackets, may have blanks in it.
  const stat = read("self/stat").split(") ").at(-1)?.split(" ") ?? [];
  const field = (number: number) => Number(stat[number - 3]);
  const limits = read("self/limits");
  const boot = Number(/^btime (\d+)$/m.exec(read("stat"))?.[1]);
  return [
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      help: "Total user and system CPU time spent in seconds.",
      samples: [{ value: (field(14) + field(15)) / TICKS }],
    },
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", field(24) * PAGE),
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", field(23)),
    gauge(
      "process_virtual_memory_max_bytes",
      "Maximum amount of virtual memory available in bytes.",
      softLimit(limits, "Max address space"),
    ),
    gauge(
      "process_open_fds",
      "Number of open file descriptors.",
      readdirSync(`${root}/self/fd`).length,
    ),
    gauge(
      "process_max_fds",
      "Maximum number of open file descriptors.",
      softLimit(limits, "Max open files"),
    ),
    gauge(
      "process_start_time_seconds",
      "Start time of the process since unix epoch in seconds.",
      boot + field(22) / TICKS,
    ),
  ];
}

function daemonFamilies(info: ReturnType<SystemPort["info"]>, deps: EngineDeps): Family[] {
  const labels = {
    architecture: info.Architecture ?? "",
    commit: "",
    daemon_id: info.ID ?? "",
    graphdriver: info.Driver ?? "",
    kernel: info.KernelVersion ?? "",
    os: info.OperatingSystem ?? "",
    os_type: info.OSType ?? "",
    os_version: info.OSVersion ?? "",
    version: info.ServerVersion ?? "",
  };
  return [
    {
      name: "engine_daemon_engine_info",
      type: "gauge",
      help: "The information related to the engine and the OS it is running on",
      samples: [{ labels, value: 1 }],
    },
    gauge(
      "engine_daemon_engine_cpus_cpus",
      "The number of cpus that the host system of the engine has",
      deps.features.cpus,
    ),
    gauge(
      "engine_daemon_engine_memory_bytes",
      "The number of bytes of memory that the host system of the engine has",
      totalmem(),
    ),
  ];
}

/** Gives the text of everything. */
export function metricsOf(
  info: SystemPort["info"],
  deps: EngineDeps,
): (form: Exposition) => Promise<string> {
  return async (form) =>
    expositionOf(
      [...daemonFamilies(info(), deps), ...(await engineMetrics(deps)), ...processFamilies()],
      form,
    );
}

/** Serves /metrics, and nothing else, on a TCP address. Throws a Fault when it cannot. */
export async function serveMetrics(
  { host, port }: Address,
  text: (form: Exposition) => Promise<string>,
): Promise<Server> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "").split("?")[0];
    if (path !== "/metrics" || (request.method !== "GET" && request.method !== "HEAD")) {
      response.writeHead(404, { "Content-Type": "text/plain" });
      response.end("404 page not found\n");
      return;
    }
    const form = expositionFor(request.headers.accept);
    text(form).then(
      (body) => {
        response.writeHead(200, { "Content-Type": expositionTypes[form] });
        response.end(body);
      },
      (error) => {
        log.error("metrics", { error });
        response.writeHead(500);
        response.end();
      },
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  await promise.catch((error) => {
    throw fault(
      "failed",
      "metrics-address",
      `cannot serve metrics on ${host}:${port}: ${messageOf(error)}`,
      error,
    );
  });
  const address = server.address();
  const at = typeof address === "object" ? address?.port : address;
  log.info("metrics listen", { on: `${host}:${at}` });
  return server;
}
