/**
 * The daemon killed, started, stopped and started again while its containers are under load: no request fails that goes to a published
 * port or from container to container, and connections that were open before go on.
 *
 * BERTH_LOAD_CONTAINERS=100 makes it as large as the promise is; it prints what was asked.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { daemonOfFile } from "../kits/daemon.ts";

const daemon = daemonOfFile();
const CONTAINERS = Number(process.env.BERTH_LOAD_CONTAINERS ?? 16);
const DEATHS = Number(process.env.BERTH_LOAD_DEATHS ?? 3);
const NETWORKS = 4;
/** Clients at once on the host. */
const WORKERS = 6;
const SERVE =
  "hostname > /tmp/index.html; nc -ll -p 7 -e cat & httpd -p 81 -h /tmp; exec httpd -f -h /tmp";

interface Server {
  readonly name: string;
  readonly id: string;
  readonly address: string;
  readonly network: string;
  readonly web: string;
  /** At every address of the host. */
  readonly wide: string;
  readonly echo: string;
}

const servers: Server[] = [];
const failures: string[] = [];

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  expect(`${status} ${err}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

async function serve(name: string, network: string): Promise<Server> {
  const ports = ["-p", "127.0.0.1::80", "-p", "0.0.0.0::81", "-p", "127.0.0.1::7"];
  const flags = ["--name", name, "--network", network, ...ports];
  const id = (await done("run", "-d", ...flags, "busybox", "sh", "-c", SERVE)).slice(0, 12);
  const [address = "", web = "", wide = "", echo = ""] = (
    await daemon.inspect(
      name,
      `{{(index .NetworkSettings.Networks "${network}").IPAddress}} {{(index .NetworkSettings.Ports "80/tcp" 0).HostPort}} {{(index .NetworkSettings.Ports "81/tcp" 0).HostPort}} {{(index .NetworkSettings.Ports "7/tcp" 0).HostPort}}`,
    )
  ).split(" ");
  return { name, id, address, network, web, wide, echo };
}

/** What a container's server says by a port of the host. */
async function ask(port: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/index.html`, {
    keepalive: false,
    signal: AbortSignal.timeout(20_000),
  });
  return (await response.text()).trim();
}

/** Asks all servers again and again by new connections until told to end; gives how often. */
function load(): { stop(): Promise<number> } {
  let over = false;
  let asked = 0;
  const worker = async (number: number) => {
    for (let turn = number; !over; turn++) {
      const server = servers[turn % servers.length] as Server;
      const said = await ask(server.web).catch(String);
      if (said !== server.id) failures.push(`${server.name} by ${server.web}: ${said}`);
      asked++;
    }
  };
  const all = Promise.all(Array.from({ length: WORKERS }, (_, number) => worker(number)));
  return {
    async stop() {
      over = true;
      await all;
      return asked;
    },
  };
}

/** A connection that says something again whenever its echo has come. */
class Conversation {
  private rest = "";
  said = 0;
  heard = 0;
  ended = "";
  private readonly socket: Socket;

  constructor(port: string) {
    this.socket = connect(Number(port), "127.0.0.1", () => this.say());
    this.socket.on("data", (data) => this.hear(data.toString()));
    this.socket.on("error", (error) => {
      this.ended = String(error);
    });
    this.socket.on("close", () => {
      this.ended ||= "closed";
    });
  }

  private say(): void {
    this.socket.write(`${this.said++}\n`);
  }

  private hear(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== String(this.heard)) this.ended ||= `${line} instead of ${this.heard}`;
      this.heard++;
      setTimeout(() => this.say(), 5);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

const conversations: Conversation[] = [];

/** A container that asks all others of its network by their addresses, and says what has failed; "round" after each round. */
async function asker(network: string): Promise<void> {
  // Through ports of the host, too: those of other networks.
  const gateway = await done(
    "network",
    "inspect",
    "-f",
    "{{(index .IPAM.Config 0).Gateway}}",
    network,
  );
  const asks = servers.map((one) => {
    const at = one.network === network ? `${one.address} 80` : `${gateway} ${one.wide}`;
    return `[ "$(printf "$q" | nc -w 20 ${at} | tail -n 1)" = ${one.id} ] || echo failed ${one.name} ${at}`;
  });
  const script = `q="GET / HTTP/1.0\\r\\n\\r\\n"; while :; do ${asks.join("; ")}; echo round; done`;
  await done(
    "run",
    "-d",
    "--name",
    `asker-${network}`,
    "--network",
    network,
    "busybox",
    "sh",
    "-c",
    script,
  );
}

/** A container with an open connection to another, which counts what has come back. */
async function talker(network: string): Promise<void> {
  const [other] = servers.filter((one) => one.network === network);
  const script = `i=0; while :; do echo $i; i=$((i+1)); usleep 20000; done | nc ${other?.address} 7`;
  await done(
    "run",
    "-d",
    "--name",
    `talker-${network}`,
    "--network",
    network,
    "busybox",
    "sh",
    "-c",
    script,
  );
}

const logOf = async (name: string) => (await done("logs", name)).split("\n").filter(Boolean);

/** Waits until there is more in a log than there was. */
async function goesOn(name: string): Promise<void> {
  const before = (await logOf(name)).length;
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50))
    if ((await logOf(name)).length > before) return;
  throw new Error(`${name} says nothing any more`);
}

const networkOf = (i: number) => `load${i % NETWORKS}`;

beforeAll(async () => {
  for (let i = 0; i < NETWORKS; i++) await done("network", "create", networkOf(i));
  for (let i = 0; i < CONTAINERS; i++) servers.push(await serve(`server${i}`, networkOf(i)));
  for (const server of servers)
    for (let said = ""; said !== server.id; said = await ask(server.web).catch(String))
      await Bun.sleep(5);
  for (let i = 0; i < NETWORKS; i++) {
    await asker(networkOf(i));
    await talker(networkOf(i));
  }
  conversations.push(...servers.map(({ echo }) => new Conversation(echo)));
}, 300_000);

afterAll(() => {
  for (const one of conversations) one.close();
});

/** Others come, publish ports and go, until told to end. */
function newcomers(): { another(): Promise<void>; stop(): Promise<number> } {
  let over = false;
  let came = 0;
  const come = async () => {
    for (; !over; ) {
      const name = `guest${came}`;
      const { status } = await daemon.berth(
        ...["run", "-d", "--name", name, "--network", networkOf(came), "-p", "127.0.0.1::80"],
        ...["busybox", "sleep", "1000"],
      );
      if (status === 0) {
        await daemon.berth("update", "-p", "127.0.0.1::90", name);
        came++;
      }
      await daemon.berth("rm", "-f", name);
    }
  };
  const coming = come();
  return {
    /** Somebody has come and published a port since: on a slow machine a daemon may live too short for that. */
    async another() {
      const before = came;
      for (const end = Date.now() + 20_000; came === before && Date.now() < end; )
        await Bun.sleep(5);
    },
    async stop() {
      over = true;
      await coming;
      return came;
    },
  };
}

test(`${CONTAINERS} containers under load while the daemon is killed and replaced: no request fails, no connection ends`, async () => {
  const [requests, guests] = [load(), newcomers()];
  const heard: number[] = [];
  for (let death = 0; death < DEATHS * 2; death++) {
    await goesOn("asker-load0");
    if (death % 3 === 1) await guests.another();
    if (death % 2 === 0) await daemon.kill();
    else await daemon.stop();
    // Nobody is there for a while: longer than a request takes.
    const before = conversations.map((one) => one.heard);
    while (conversations.some((one, i) => one.ended === "" && one.heard <= (before[i] ?? 0) + 5))
      await Bun.sleep(5);
    await daemon.start();
    heard.push(...conversations.map((one, i) => one.heard - (before[i] ?? 0)));
  }
  const came = await guests.stop();
  const asked = await requests.stop();
  expect(failures).toEqual([]);
  expect(conversations.map(({ ended }) => ended).filter(Boolean)).toEqual([]);
  expect(Math.min(...heard)).toBeGreaterThan(4);
  expect(came).toBeGreaterThan(0);
  let rounds = 0;
  for (let i = 0; i < NETWORKS; i++) {
    await goesOn(`asker-${networkOf(i)}`);
    const said = await logOf(`asker-${networkOf(i)}`);
    expect(said.filter((line) => line !== "round")).toEqual([]);
    rounds += said.length;
    await goesOn(`talker-${networkOf(i)}`);
    const talk = await logOf(`talker-${networkOf(i)}`);
    expect(talk).toEqual(talk.map((_, at) => String(at)));
  }
  const echoes = conversations.reduce((sum, { heard: one }) => sum + one, 0);
  console.info(
    `${asked} requests by published ports, ${rounds * CONTAINERS} from container to container, ${echoes} echoes on ${conversations.length} open connections, ${came} newcomers, ${DEATHS * 2} ends of the daemon: no failure`,
  );
}, 600_000);
