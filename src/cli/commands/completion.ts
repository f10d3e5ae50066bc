/**
 * `berth completion`: what a shell must know to ask berth at each tab.
 */
import type { Command } from "../command.ts";
import { ExitError } from "../command.ts";
import { out } from "../output.ts";

const bash = `# berth's completion for bash: source <(berth completion bash)
_berth() {
  local line word before="" rest="nothing"
  COMPREPLY=()
  word=\${COMP_LINE:0:COMP_POINT}
  word=\${word##*[[:space:]]}
  # bash takes what is before : and = for words of their own.
  case $word in *[:=]*) before=\${word%"\${word##*[:=]}"} ;; esac
  while IFS= read -r line; do
    case $line in
      :*) rest=\${line#:} ;;
      *) line=\${line%%$'\\t'*}; COMPREPLY+=("\${line#"$before"}") ;;
    esac
  done < <(command berth __complete line "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  local last=\${word#"$before"}
  case $rest in
    files) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$last") ;;
    directories) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$last") ;;
  esac
  case \${COMPREPLY[0]-} in *=) compopt -o nospace 2>/dev/null ;; esac
  [ "$rest" = nothing ] || compopt -o filenames 2>/dev/null
  return 0
}
complete -F _berth berth
`;

const zsh = `#compdef berth
# berth's completion for zsh: source <(berth completion zsh), or as _berth in a directory of $fpath
_berth() {
  local line value about rest=nothing
  local -a found
  while IFS= read -r line; do
    case $line in
      :*) rest=\${line#:} ;;
      *)
        value=\${line%%$'\\t'*}
        about=
        [[ $line == *$'\\t'* ]] && about=":\${line#*$'\\t'}"
        found+=("\${value//:/\\\\:}$about")
        ;;
    esac
  done < <(command berth __complete words "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  (( \${#found} )) && _describe -V berth found
  case $rest in
    files) _files ;;
    directories) _files -/ ;;
  esac
}
if [ "$funcstack[1]" = _berth ]; then _berth "$@"; else compdef _berth berth; fi
`;

const fish = `# berth's completion for fish: berth completion fish | source
function __berth_complete
  set -l all (commandline -opc)
  set -l found (command berth __complete words $all[2..-1] (commandline -ct) 2>/dev/null)
  for line in $found
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':directories'
        __fish_complete_directories (commandline -ct)
      case ':*'
      case '*'
        echo $line
    end
  end
end
complete -c berth -f -a '(__berth_complete)'
`;

/** Each shell's script. */
export const completionScripts = { bash, zsh, fish };
const scripts: Readonly<Record<string, string>> = completionScripts;

/** The command. */
export const command: Command = {
  usage: "bash|zsh|fish",
  short: "Print a shell's completion script",
  args: [1, 1],
  local: true,
  flags: [],
  async run(_context, parsed) {
    const [shell = ""] = parsed.args;
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined;
    if (script === undefined)
      throw new ExitError(1, `there is no completion for ${shell}: use bash, zsh or fish`);
    out(script);
    return 0;
  },
};
