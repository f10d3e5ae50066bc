/**
 * Another machine for tests: a container without a network into whose namespace an interface is moved, so that it has a way to
 * the host, and by it to whatever addresses a test routes there.
 */
import type { TestDaemon } from "./daemon.ts";
import { host } from "./lan.ts";

/** The host's address on the way to the other machine. */
export const HOST = "198.51.100.1";
/** The other machine's. */
export const MACHINE = "198.51.100.2";
/** Its address of IPv6 there. */
export const HOST6 = "2001:db8:51::1";
/** That of the other machine. */
export const MACHINE6 = "2001:db8:51::2";

/** The other machine. */
export class Outside {
  private pid = "";
  private readonly begun: Bun.Subprocess[] = [];

  private constructor(
    private readonly daemon: TestDaemon,
    readonly name: string,
  ) {}

  /** Sets it up, with everything but its own link routed by the host. */
  static async start(daemon: TestDaemon, name: string): Promise<Outside> {
    const machine = new Outside(daemon, name);
    const run = ["run", "-d", "--name", name, "--network", "none", "busybox", "sleep", "10000"];
    const { status, err } = await daemon.berth(...run);
    if (status !== 0) throw new Error(err);
    machine.pid = await daemon.inspect(name, "{{.State.Pid}}");
    const inside = `${name.slice(0, 8)}-in`;
    host("ip", "link", "add", machine.interface, "type", "veth", "peer", "name", inside);
    host("ip", "link", "set", inside, "netns", machine.pid);
    for (const [address, dev] of [
      [`${HOST}/24`, HOST],
      [`${HOST6}/64`, HOST6],
    ])
      host("ip", "address", "add", address ?? "", "dev", machine.interface, ...nodad(dev ?? ""));
    host("ip", "link", "set", machine.interface, "up");
    machine.run("ip", "address", "add", `${MACHINE}/24`, "dev", inside);
    machine.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0");
    machine.run("ip", "address", "add", `${MACHINE6}/64`, "dev", inside, "nodad");
    machine.run("ip", "link", "set", inside, "up");
    machine.run("ip", "route", "add", "default", "via", HOST);
    machine.run("ip", "-6", "route", "add", "default", "via", HOST6);
    return machine;
  }

  /** The host's interface to it. */
  get interface(): string {
    return `${this.name.slice(0, 8)}-out`;
  }

  /** Runs one of the host's programs on its network; gives what it says. */
  run(...words: string[]): string {
    return host("nsenter", "--target", this.pid, "--net", ...words);
  }

  /** Begins a program there, which ends with the machine at the latest, and is told to by the end of its input. */
  begin(...words: string[]) {
    const all = ["nsenter", "--target", this.pid, "--net", ...words];
    const child = Bun.spawn(all, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    this.begun.push(child);
    return child;
  }

  /** What a server answers. */
  get(address: string, port: number): string {
    return this.ask(address, port, 20);
  }

  /** Empty when there is no way to a server: what does not come within a second on one host does not come. */
  getInVain(address: string, port: number): string {
    return this.ask(address, port, 1);
  }

  private ask(address: string, port: number, seconds: number): string {
    const at = address.includes(":") ? `[${address}]` : address;
    return this.run("curl", "-s", "-m", String(seconds), `http://${at}:${port}/`).trim();
  }

  /** Listens at a port; gives the address that the first client has. */
  async sources(port: number): Promise<string> {
    const program = `Bun.listen({ hostname: "0.0.0.0", port: ${port}, socket: {
      open(socket) { console.log(socket.remoteAddress); process.exit(0); }, data() {} } });`;
    const words = ["nsenter", "--target", this.pid, "--net", process.execPath, "-e", program];
    const server = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    return (await server.stdout.text()).trim();
  }

  async remove(): Promise<void> {
    for (const one of this.begun) one.kill("SIGKILL");
    await Promise.all(this.begun.map(({ exited }) => exited));
    await this.daemon.berth("rm", "-f", this.name);
  }
}

const nodad = (address: string) => (address.includes(":") ? ["nodad"] : []);
