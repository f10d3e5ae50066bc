import { expect, test } from "bun:test";
import { gunzipSync, inflateSync } from "node:zlib";
import { decode, type ExtData } from "@msgpack/msgpack";
import {
  type EncoderContext,
  fluentdEncoder,
  gelfEncoder,
  journaldEncoder,
  syslogEncoder,
} from "./encoders.ts";
import { facilityOf } from "./options.ts";

const source = {
  ...{ id: "0123456789abcdef".repeat(4), name: "web", imageId: "sha256:ff", imageName: "app:1" },
  ...{ command: "serve -v", created: "2026-11-24T10:00:00Z", hostname: "h", labels: {}, env: [] },
};
const time = "2026-11-04T09:08:07.123456789Z";
const out = { stream: "stdout", text: "hello\n", time } as const;
const err = { stream: "stderr", text: "part", time } as const;
const context = (options: Record<string, string>, transport = "udp"): EncoderContext => ({
  ...{
    source,
    options,
    transport,
    tag: "t",
    extra: { "com.x/y": "two\nlines" },
    host: "box",
    pid: 7,
  },
});
const plain = (messages: Uint8Array[]) => Buffer.concat(messages).toString();

test("syslog: facility and severity, three forms, and octet counting with TLS", () => {
  const date = new Date(time);
  const clock = date.toTimeString().slice(0, 8);
  expect(plain(syslogEncoder(context({}))(out))).toBe(`<30>Nov  4 ${clock} t[7]: hello\n`);
  const local = { "syslog-format": "rfc3164", "syslog-facility": "local7" };
  expect(plain(syslogEncoder(context(local))(err))).toBe(`<187>Nov  4 ${clock} box t[7]: part\n`);
  const micro = { "syslog-format": "rfc5424micro" };
  const line = "<30>1 2026-11-04T09:08:07.123456Z box t 7 t - hello\n";
  expect(plain(syslogEncoder(context(micro))(out))).toBe(line);
  expect(plain(syslogEncoder(context(micro, "tls"))(out))).toBe(`${line.length} ${line}`);
  expect([facilityOf("auth"), facilityOf("23"), facilityOf("24"), facilityOf("nope")]).toEqual([
    ...[4, 23, undefined, undefined],
  ]);
});

test("GELF: compressed by default, ended by a zero over TCP, nothing for an empty line", () => {
  const [message = new Uint8Array()] = gelfEncoder(context({}))(out);
  const seen = JSON.parse(gunzipSync(message).toString());
  expect(seen).toMatchObject({ version: "1.1", host: "box", short_message: "hello", level: 6 });
  expect(seen).toMatchObject({
    timestamp: Date.parse(time) / 1000,
    _container_name: "web",
    _tag: "t",
  });
  const [zlib = new Uint8Array()] = gelfEncoder(context({ "gelf-compression-type": "zlib" }))(err);
  expect(JSON.parse(inflateSync(zlib).toString()).level).toBe(3);
  const tcp = plain(gelfEncoder(context({}, "tcp"))(out));
  expect([tcp.at(-1), JSON.parse(tcp.slice(0, -1)).short_message]).toEqual(["\0", "hello"]);
  expect(gelfEncoder(context({}))({ ...out, text: "\n" })).toEqual([]);
});

test("GELF: a long message is cut in numbered chunks that make it whole again", () => {
  const text = "x".repeat(10_000);
  const chunks = gelfEncoder(context({ "gelf-compression-type": "none" }))({ ...out, text });
  expect(
    chunks.every((chunk) => chunk.length <= 1420 && chunk[0] === 0x1e && chunk[1] === 0x0f),
  ).toBe(true);
  expect(chunks.map((chunk) => [chunk[10], chunk[11]])).toEqual(
    chunks.map((_, i) => [i, chunks.length]),
  );
  const whole = Buffer.concat(chunks.map((chunk) => chunk.subarray(12))).toString();
  expect(JSON.parse(whole).short_message).toBe(text);
});

test("fluentd: messages of the forward protocol, with whole or precise times, chunks to acknowledge", () => {
  const [message = new Uint8Array()] = fluentdEncoder(context({}))(out);
  expect(decode(message)).toEqual([
    ...["t", Math.floor(Date.parse(time) / 1000)],
    {
      ...{ container_id: source.id, container_name: "/web", source: "stdout", log: "hello" },
      "com.x/y": "two\nlines",
    },
  ]);
  const precise = context({ "fluentd-sub-second-precision": "true" });
  const [second = new Uint8Array()] = fluentdEncoder(precise, () => "c1")(err);
  const [, at, record, option] = decode(second) as [
    string,
    ExtData,
    { partial_message: string },
    object,
  ];
  expect([at.type, Buffer.from(at.data as Uint8Array).readUInt32BE(4)]).toEqual([0, 123_456_789]);
  expect([record.partial_message, option]).toEqual(["true", { chunk: "c1" }]);
});

test("journald: fields by name, those with line ends by length", () => {
  const text = plain(journaldEncoder(context({}))(err));
  expect(text).toContain("MESSAGE=part\nPRIORITY=3\n");
  expect(text).toContain(
    `CONTAINER_ID=${source.id.slice(0, 12)}\nCONTAINER_ID_FULL=${source.id}\n`,
  );
  expect(text).toContain("CONTAINER_PARTIAL_MESSAGE=true\n");
  expect(text).toContain("COM_X_Y\n\t\0\0\0\0\0\0\0two\nlines\n");
});
