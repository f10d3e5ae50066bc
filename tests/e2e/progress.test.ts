/** What goes on, on a terminal as bars and without one as lines. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { tarOf } from "../clients/tars.ts";
import { daemonOfFile, TerminalSession } from "../kits/daemon.ts";
import { FakeRegistry } from "../kits/fake-registry.ts";
import { scratchDirectory } from "../kits/scratch.ts";

const registry = new FakeRegistry();
const scratch = scratchDirectory("bt-progress-");
beforeAll(async () => {
  await registry.start();
});
afterAll(async () => {
  await registry.stop();
  rmSync(scratch, { recursive: true });
});
const daemon = daemonOfFile();

const BAR = "\\[=*>? *\\]  [\\d.]+\\w?B/[\\d.]+[kM]B";

test("a pull has a bar with its rate and the time left; a push has one; pipes have lines without either", async () => {
  const tar = tarOf({ "large.txt": randomBytes(3_000_000).toString("base64") });
  registry.image(tar, "bars");
  const [layer = ""] = [...registry.blobs.entries()].find(([, bytes]) => bytes.length > 3e6) ?? [];
  const seen = Promise.withResolvers<void>();
  registry.lie = ({ path }, response) => {
    if (!path.includes(layer)) return false;
    response.writeHead(200, { "content-length": tar.length });
    let sent = 0;
    // Slowly, until somebody has seen it.
    const timer = setInterval(() => {
      response.write(tar.subarray(sent, sent + 50_000));
      sent += 50_000;
      if (sent < 3_500_000) return;
      clearInterval(timer);
    }, 50);
    seen.promise.then(() => {
      clearInterval(timer);
      response.end(tar.subarray(sent));
    });
    return true;
  };
  const name = `${registry.address}/app:bars`;
  const terminal = daemon.onTerminal("pull", name);
  const id = layer.slice(7, 19);
  await terminal.see(new RegExp(`${id}: Downloading ${BAR}  [\\d.]+[kM]?B/s  \\w+ left`));
  seen.resolve();
  expect(await terminal.ended()).toBe(0);
  expect(terminal.shown).toContain(`${id}: Pull complete`);
  expect(terminal.shown).toContain("Status: Downloaded newer image");
  registry.lie = () => false;
  expect((await daemon.berth("rmi", name)).status).toBe(0);

  const piped = await daemon.berth("pull", name);
  expect(piped.out).toContain(`${id}: Pull complete\n`);
  expect(piped.out).not.toMatch(/\x1b|\r|\[=/);
  const dumb = new TerminalSession([`${import.meta.dir}/../../dist/berth`, "pull", name], {
    BERTH_HOST: `unix://${daemon.socket}`,
    TERM: "dumb",
  });
  expect(await dumb.ended()).toBe(0);
  expect(dumb.shown).toContain("Status: Image is up to date");
  expect(dumb.shown).not.toContain("\x1b");

  const pushed = daemon.onTerminal("push", name.replace(":bars", ":again"));
  expect(await pushed.ended()).toBe(1);
  await daemon.berth("tag", name, name.replace(":bars", ":again"));
  registry.blobs.delete(layer);
  const push = daemon.onTerminal("push", name.replace(":bars", ":again"));
  await push.ended();
  expect(push.shown).toMatch(new RegExp(`${id}: (Pushing ${BAR}|Layer already exists|Pushed)`));
  await daemon.berth("rmi", name, name.replace(":bars", ":again"));
});

test("save, load, cp and export have a bar on a terminal, and leave nothing of it", async () => {
  await daemon.berth("create", "--name", "target", "busybox");
  const archive = `${scratch}/image.tar`;
  const save = daemon.onTerminal("save", "-o", archive, "busybox");
  expect([await save.ended(), save.shown]).toEqual([0, expect.any(String)]);
  expect(save.shown).toMatch(/Saving to .*image\.tar [\d.]+[kM]?B/);
  expect(save.shown).toEndWith("\r\x1b[J");
  expect(statSync(archive).size).toBeGreaterThan(100_000);

  const load = daemon.onTerminal("load", "-i", archive);
  expect(await load.ended()).toBe(0);
  expect(load.shown).toMatch(new RegExp(`Loading .*image\\.tar ${BAR}`));
  expect(load.shown).toMatch(/\r\x1b\[JLoaded image: busybox:latest\r\n$/);
  const piped = await daemon.berth("load", "-i", archive);
  expect([piped.out, piped.err]).toEqual(["Loaded image: busybox:latest\n", ""]);

  const into = daemon.onTerminal("cp", archive, "target:/image.tar");
  expect(await into.ended()).toBe(0);
  expect(into.shown).toMatch(new RegExp(`Copying to container ${BAR}`));
  expect(into.shown).toMatch(/\x1b\[JSuccessfully copied [\d.]+MB to target:\/image\.tar\r\n$/);
  const back = daemon.onTerminal("cp", "target:/image.tar", `${scratch}/back.tar`);
  expect(await back.ended()).toBe(0);
  expect(back.shown).toMatch(new RegExp(`Copying from container ${BAR}`));
  expect(statSync(`${scratch}/back.tar`).size).toBe(statSync(archive).size);
  const exported = daemon.onTerminal("export", "-o", `${scratch}/root.tar`, "target");
  expect(await exported.ended()).toBe(0);
  expect(exported.shown).toMatch(/Exporting to .*root\.tar [\d.]+[kM]?B/);
  await daemon.berth("rm", "target");
});
