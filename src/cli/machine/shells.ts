/**
 * Variables as each shell sets and forgets them, in docker-machine's words. Pure.
 */

interface Shell {
  set(name: string, value: string): string;
  unset(name: string): string;
  /** How its user runs a command's output. */
  run(command: string): string;
}

const posix: Shell = {
  set: (name, value) => `export ${name}="${value}"`,
  unset: (name) => `unset ${name}`,
  run: (command) => `# Run this command to configure your shell: \n# eval $(${command})`,
};

const shells: Readonly<Record<string, Shell>> = {
  fish: {
    set: (name, value) => `set -gx ${name} "${value}";`,
    unset: (name) => `set -e ${name};`,
    run: (command) => `# Run this command to configure your shell: \n# ${command} | source`,
  },
  tcsh: {
    set: (name, value) => `setenv ${name} "${value}";`,
    unset: (name) => `unsetenv ${name};`,
    run: (command) => `: Run this command to configure your shell: \n: eval \`${command}\``,
  },
  emacs: {
    set: (name, value) => `(setenv "${name}" "${value}")`,
    unset: (name) => `(setenv "${name}" nil)`,
    run: (command) =>
      `;; Run this command to configure your shell: \n;; (with-temp-buffer (shell-command "${command}" (current-buffer)) (eval-buffer))`,
  },
};

/** The lines that set variables, and forget those without a value. `shell`: its name, of bash and others if it is none of these. */
export function shellLines(
  shell: string,
  variables: Readonly<Record<string, string | undefined>>,
  command: string,
): string {
  const { set, unset, run } = shells[shell === "csh" ? "tcsh" : shell] ?? posix;
  const lines = Object.entries(variables).map(([name, value]) =>
    value === undefined ? unset(name) : set(name, value),
  );
  return `${[...lines, run(command)].join("\n")}\n`;
}
