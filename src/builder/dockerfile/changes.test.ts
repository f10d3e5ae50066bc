/** Instructions that may be given to import and commit. */
import { expect, test } from "bun:test";
import { changeConfig } from "./changes.ts";

test("every instruction that changes a configuration has its effect", () => {
  const base = { Env: ["A=1"], Cmd: ["old"], OnBuild: ["RUN first"], Labels: { kept: "yes" } };
  const changes = [
    "ENTRYPOINT run it",
    "ENV B=$A C='2 3'",
    "LABEL k=v\nEXPOSE 80 90/udp",
    "HEALTHCHECK --interval=5s --retries=3 CMD check it",
    "ONBUILD RUN second",
    "STOPSIGNAL SIGQUIT",
    "USER 5",
    'VOLUME ["/v"]',
    "WORKDIR /w",
    "WORKDIR deeper",
  ];
  expect(changeConfig(base, changes)).toEqual({
    Env: ["A=1", "B=1", "C=2 3"],
    Entrypoint: ["/bin/sh", "-c", "run it"],
    Labels: { kept: "yes", k: "v" },
    ExposedPorts: { "80/tcp": {}, "90/udp": {} },
    Healthcheck: { Test: ["CMD-SHELL", "check it"], Interval: 5e9, Retries: 3 },
    OnBuild: ["RUN first", "RUN second"],
    StopSignal: "SIGQUIT",
    User: "5",
    Volumes: { "/v": {} },
    WorkingDir: "/w/deeper",
  });
  expect(changeConfig(base, ['CMD ["a","b"]', "ENTRYPOINT x"]).Cmd).toEqual(["a", "b"]);
  expect(changeConfig(base, [])).toEqual(base);
});

test("what may not stand there, or is wrong, is said in Docker's words", () => {
  const refusals: [string, string][] = [
    ["RUN x", "run is not a valid change command"],
    ["FROM x", "from is not a valid change command"],
    ["bogus x", "bogus is not a valid change command"],
    ["ENV a", "ENV must have two arguments"],
    ["LABEL x", "LABEL must have two arguments"],
    ["VOLUME", "VOLUME requires at least one argument"],
    ["ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"],
    ["ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ["HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK (try CMD)'],
    ["EXPOSE 99999", "invalid containerPort: 99999"],
  ];
  for (const [change, message] of refusals)
    expect(() => changeConfig({}, [change])).toThrow(message);
  expect(() => changeConfig({}, ["VOLUME"])).not.toThrow("parse error");
});
