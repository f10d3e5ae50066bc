import { expect, test } from "bun:test";
import { userPlaces } from "./user-places.ts";

test("a user's places are below the home and the runtime directory, wherever those are", () => {
  expect(userPlaces({ HOME: "/home/u" }, 1000)).toEqual({
    dataRoot: "/home/u/.local/share/berth",
    execRoot: "/run/user/1000/berth",
    socket: "/run/user/1000/berth.sock",
    configuration: "/home/u/.config/berth",
    plugins: {
      sockets: ["/run/user/1000/docker/plugins"],
      specs: ["/home/u/.config/docker/plugins", "/home/u/.local/lib/docker/plugins"],
    },
  });
  const named = { XDG_RUNTIME_DIR: "/r", XDG_DATA_HOME: "/d", XDG_CONFIG_HOME: "/c", HOME: "/h" };
  expect(userPlaces(named, 1000)).toEqual({
    dataRoot: "/d/berth",
    execRoot: "/r/berth",
    socket: "/r/berth.sock",
    configuration: "/c/berth",
    plugins: {
      sockets: ["/r/docker/plugins"],
      specs: ["/c/docker/plugins", "/h/.local/lib/docker/plugins"],
    },
  });
});

test("relative paths count for nothing, as the specification has it", () => {
  const places = userPlaces({ HOME: "/h", XDG_RUNTIME_DIR: "r", XDG_DATA_HOME: "../d" }, 7);
  expect([places.socket, places.dataRoot]).toEqual([
    "/run/user/7/berth.sock",
    "/h/.local/share/berth",
  ]);
});
