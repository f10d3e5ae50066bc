/**
 * What attacks are made with: files of the host's that must stay as they are, and programs that attack from inside of a container,
 * built static on the host, so that an image needs nothing for them.
 */
import { expect } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/**
 * A directory of the host's that must neither be read nor be changed. Everybody may do both there, so that it is no permission
 * that saves it: root in a container is nobody here.
 */
export async function withVictim(use: (directory: string) => Promise<void>): Promise<void> {
  const victim = mkdtempSync("/tmp/victim-");
  const secret = `${victim}/secret`;
  writeFileSync(secret, "of the host");
  chmodSync(victim, 0o777);
  chmodSync(secret, 0o666);
  try {
    await use(victim);
    expect(readdirSync(victim)).toEqual(["secret"]);
    expect(readFileSync(secret, "utf8")).toBe("of the host");
  } finally {
    rmSync(victim, { recursive: true });
  }
}

/** Builds a C program. `directory` is to be mounted at /attack, `path` is where the program is then. */
export function compiled(name: string, source: string): { directory: string; path: string } {
  const directory = mkdtempSync("/tmp/bt-attack-");
  chmodSync(directory, 0o755);
  const file = `${directory}/${name}`;
  writeFileSync(`${file}.c`, source);
  const built = Bun.spawnSync(["musl-gcc", "-static", "-O1", "-o", file, `${file}.c`]);
  if (built.exitCode !== 0) throw new Error(built.stderr.toString());
  return { directory, path: `/attack/${name}` };
}

/**
 * Looks again and again at the descriptors of every other process that it sees, and says what it can open there that is neither
 * of its own container's files nor a terminal. Ends when it is killed.
 */
export const descriptorThief = `#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  puts("looking");
  for (;;) {
    DIR *all = opendir("/proc");
    for (struct dirent *one; (one = readdir(all));) {
      char path[400], link[400];
      if (!isdigit(one->d_name[0]) || atoi(one->d_name) == getpid()) continue;
      for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/%s/fd/%d", one->d_name, fd);
        ssize_t length = readlink(path, link, sizeof link - 1);
        if (length < 0) continue;
        link[length] = 0;
        int opened = open(path, O_RDONLY | O_NONBLOCK);
        if (opened >= 0 && link[0] == '/') printf("stolen %s\\n", link);
        if (opened >= 0) close(opened);
      }
    }
    closedir(all);
  }
}
`;

/**
 * Exchanges two names again and again, each time in one step, so that whoever looks and then acts meets the other one as
 * often as not. The pauses differ, so that every distance between a look and an act is met; ends when it is killed.
 */
export const exchanger = `#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
  (void)argc;
  for (unsigned round = 0;; round++) {
    if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2) < 0) {
      perror("renameat2");
      return 1;
    }
    for (volatile unsigned spin = 0; spin < (round * 7919u) % 40000u; spin++);
  }
}
`;
