/** The resolver of containers: many questions, bad ones, others' answers, and what is true while containers come and go. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import { daemonOfFile } from "../kits/daemon.ts";
import { askFrom, type Wish } from "../kits/dns-asker.ts";

/** What listens on the host; it ends before the census, which the daemon's end takes. */
const servers: { close(): void }[] = [];
afterAll(() => {
  for (const one of servers) one.close();
});

const daemon = daemonOfFile();

async function done(...args: string[]): Promise<string> {
  const { status, out, err } = await daemon.berth(...args);
  // Of the tests' own resolver, as docker warns.
  const rest = err.replace(/^WARNING: Localhost DNS .*\n/gm, "");
  expect(`${status} ${rest}`, args.join(" ")).toBe("0 ");
  return out.trim();
}

const sleeper = (name: string, ...flags: string[]) =>
  done("run", "-d", "--name", name, "--network", "near", ...flags, "busybox", "sleep", "10000");
const pidOf = (name: string) => daemon.inspect(name, "{{.State.Pid}}");
const address = (name: string) =>
  daemon.inspect(name, "{{.NetworkSettings.Networks.near.IPAddress}}");
const ask = async (from: string, wish: Wish) => askFrom(await pidOf(from), wish);
const look = (from: string, name: string, type = "A") => ask(from, { kind: "ask", name, type });

/** Somebody else's name server on the host, which answers what is far and counts what it is asked. */
const upstream = { address: "127.53.0.1", asked: [] as string[], silent: "127.53.0.2" };

/** What a container sends comes here as it is, and need not be a message. */
function read(message: Uint8Array) {
  try {
    return decode(Buffer.from(message));
  } catch {
    return {};
  }
}

function farAnswer(message: Uint8Array): Uint8Array {
  const { id = 0, questions = [] } = read(message);
  const [{ name = "", type = "A" } = {}] = questions;
  upstream.asked.push(`${type} ${name}`);
  const known = name.toLowerCase().endsWith("far.example");
  const data = type === "TXT" ? "text" : "192.0.2.7";
  // Name error for what it does not know.
  const flags = known ? 0x80 : 0x83;
  const answers = known ? [{ name, type, class: "IN", ttl: 60, data }] : [];
  return encode({ type: "response", id, flags, questions, answers });
}

/** "big.far.example" is too long for UDP. */
function udpAnswer(message: Uint8Array): Uint8Array {
  const answer = Uint8Array.from(farAnswer(message));
  if (Buffer.from(message).includes("big")) answer[2] = (answer[2] ?? 0) | 2;
  return answer;
}

beforeAll(async () => {
  const { address: hostname } = upstream;
  for (const where of [hostname, "::1"])
    servers.push(
      await Bun.udpSocket({
        ...{ hostname: where, port: 53 },
        socket: { data: (own, data, port, from) => void own.send(udpAnswer(data), port, from) },
      }),
    );
  servers.push(await Bun.udpSocket({ hostname: upstream.silent, port: 53 }));
  const tcp = Bun.listen({
    ...{ hostname, port: 53 },
    socket: {
      data(socket, chunk) {
        const answer = farAnswer(chunk.subarray(2));
        socket.write(
          Buffer.concat([Uint8Array.of(answer.length >> 8, answer.length & 255), answer]),
        );
      },
    },
  });
  servers.push({ close: () => tcp.stop(true) });
  await done("network", "create", "near");
  await sleeper("one", "--network-alias", "pair", "--dns", hostname);
  await sleeper("two", "--network-alias", "pair", "--dns", upstream.silent, "--dns", hostname);
});

test("of thousands of questions at once none is lost, and each is answered rightly", async () => {
  const names = ["one", "two", "PAIR", "one.near"];
  const { count, data } = await ask("two", { kind: "flood", names, count: 20_000, open: 120 });
  expect(count).toBe(20_000);
  expect(data.toSorted()).toEqual([await address("one"), await address("two")].toSorted());
});

test("an alias of many is cut by UDP as far as the asker takes it, and whole by TCP", async () => {
  const members = Array.from({ length: 34 }, (_, index) => `m${index}`);
  await Promise.all(members.map((name) => sleeper(name, "--network-alias", "crowd")));
  const plain = await look("one", "crowd");
  expect(plain).toMatchObject({ cut: true });
  expect(plain.data.length).toBeGreaterThan(25);
  expect(await ask("one", { kind: "ask", name: "crowd", size: 1232 })).toMatchObject({
    cut: false,
  });
  // Several questions in one packet are several questions.
  const whole = await ask("one", { kind: "ask-tcp", name: "crowd", together: 9 });
  expect(whole).toMatchObject({ cut: false, count: 9 });
  expect(new Set(whole.data).size).toBe(34);
  await done("rm", "-f", ...members);
  expect((await look("one", "crowd")).code).toBe("NXDOMAIN");
});

test("names of containers have no records of other types, which nobody else is asked for", async () => {
  upstream.asked.length = 0;
  for (const type of ["AAAA", "MX", "TXT", "SRV"])
    expect(await look("one", "TwO", type)).toMatchObject({
      code: "NOERROR",
      name: "TwO",
      data: [],
    });
  expect(upstream.asked).toEqual([]);
  expect(await look("one", "FaR.example", "TXT")).toMatchObject({ name: "FaR.example" });
  expect(await look("one", "unknown")).toMatchObject({ code: "NXDOMAIN" });
  expect(upstream.asked).toEqual(["TXT FaR.example", "A unknown"]);
});

test("what others answer in part by UDP comes whole by TCP; a server that says nothing is passed over", async () => {
  expect(await look("one", "big.far.example")).toMatchObject({ cut: true });
  const whole = await ask("one", { kind: "ask-tcp", name: "big.far.example", together: 1 });
  expect(whole).toMatchObject({ cut: false, data: ["192.0.2.7"] });
  expect((await look("two", "far.example")).data).toEqual(["192.0.2.7"]);
});

test("whoever says when a name has dots enough is not asked for with fewer", async () => {
  await sleeper("dotted", "--dns", upstream.address, "--dns-option", "ndots:2");
  upstream.asked.length = 0;
  expect(await look("dotted", "unknown")).toMatchObject({ code: "NOERROR", data: [] });
  expect((await look("dotted", "one")).data).toEqual([await address("one")]);
  expect((await look("dotted", "a.far.example")).data).toEqual(["192.0.2.7"]);
  expect(upstream.asked).toEqual(["A a.far.example"]);
  await done("rm", "-f", "dotted");
});

test("thousands of idle connections and rubbish of every kind do not keep anybody from an answer", async () => {
  const expected = { code: "NOERROR", data: [await address("two")] };
  expect(await ask("one", { kind: "idle", name: "two", count: 2500 })).toMatchObject(expected);
  expect(await ask("one", { kind: "noise", name: "two", count: 3000 })).toMatchObject(expected);
  expect(await look("two", "one")).toMatchObject({ data: [await address("one")] });
});

test("answers are true as soon as a command has ended, whatever else is asked meanwhile", async () => {
  const names = ["pair", "guest", "one"];
  const storm = ask("one", { kind: "flood", names, count: 8_000, open: 30 });
  const pair = [await address("one"), await address("two")];
  for (let round = 0; round < 5; round++) {
    await sleeper("guest", "--network-alias", "pair");
    const own = await address("guest");
    expect((await look("one", "guest")).data).toEqual([own]);
    expect((await look("one", "pair")).data.toSorted()).toEqual([...pair, own].toSorted());
    if (round % 2 === 0) await done("kill", "guest");
    else await done("network", "disconnect", "near", "guest");
    if (round % 2 === 0) await done("wait", "guest");
    expect((await look("one", "pair")).data.toSorted()).toEqual(pair.toSorted());
    expect((await look("one", "guest")).code).toBe("NXDOMAIN");
    await done("rm", "-f", "guest");
  }
  expect((await storm).count).toBe(8_000);
});

test("without a daemon names of containers hold that have been asked for, others are asked, by IPv6, too; the next daemon answers at once", async () => {
  await sleeper("six", "--dns", "::1");
  await sleeper("gone");
  const [one, two, six] = [await pidOf("one"), await pidOf("two"), await pidOf("six")];
  const first = await address("one");
  expect((await look("six", "gone")).code).toBe("NOERROR");
  await done("rm", "-f", "gone");
  for (const name of ["one", "pair"]) await look("six", name);
  await daemon.kill();
  // In whatever case, and not what has gone in the meantime.
  const kept = await askFrom(six, { kind: "ask", name: "oNE" });
  expect(kept).toMatchObject({ code: "NOERROR", name: "oNE", data: [first] });
  expect((await askFrom(six, { kind: "ask", name: "pair" })).data.length).toBe(2);
  expect((await askFrom(six, { kind: "ask-tcp", name: "one", together: 2 })).data).toEqual([first]);
  expect((await askFrom(six, { kind: "ask", name: "gone" })).code).toBe("NXDOMAIN");
  for (const pid of [one, two, six])
    expect((await askFrom(pid, { kind: "ask", name: "far.example" })).data).toEqual(["192.0.2.7"]);
  await daemon.start();
  expect((await look("six", "one")).data).toEqual([first]);
  expect((await look("six", "far.example")).data).toEqual(["192.0.2.7"]);
});
