#!/bin/sh
# Builds harnesses: native/fuzz/build.sh DIRECTORY replay|coverage|libfuzzer NAME... makes DIRECTORY/NAME, which replays files,
# with any compiler; or with clang, to say which lines are reached; or which makes up inputs of its own, with clang's libFuzzer.
set -eu
here=$(dirname "$0")
directory=$1
kind=$2
shift 2
flags="-std=gnu17 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
cc=${CC:-gcc}
driver=replay
link="-fsanitize=address,undefined"
if [ "$kind" = libfuzzer ]; then
  cc=${CLANG:-clang}
  flags="$flags -fsanitize=fuzzer-no-link"
  driver=mutate
  link="-fsanitize=fuzzer,address,undefined"
fi
if [ "$kind" = coverage ]; then
  cc=${CLANG:-clang}
  flags="$flags -fprofile-instr-generate -fcoverage-mapping"
  link="$link -fprofile-instr-generate"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

program() {
  case $1 in
    helper | guard | commands) echo helper ;;
    *) echo shim ;;
  esac
}
# Of the programs everything but their main; a harness may include that, and that of the guard the guard.
sources() {
  ls "$here/../$(program "$1")"/*.c | grep -v /main.c
}
objects() {
  for file in $(sources "$1"); do
    [ "$1 $(basename "$file")" = "guard guard.c" ] || echo "$work/tested-$(program "$1")-$(basename "$file" .c).o"
  done
}
compile() { # compile OBJECT SOURCE
  # shellcheck disable=SC2086
  [ -e "$work/$1.o" ] || $cc $flags -c -o "$work/$1.o" "$2" || touch "$work/failed"
}
some() {
  for name; do
    compile "tested-fuzz-$name" "$here/fuzz-$name.c"
    for file in $(sources "$name"); do compile "tested-$(program "$name")-$(basename "$file" .c)" "$file"; done
  done
}
rest() {
  for file in world sockets privileges filter clients $driver; do compile "$file" "$here/$file.c"; done
}
rest &
some "$@"
wait
[ ! -e "$work/failed" ] || exit 1

# Functions of the C library for which there is a stand-in are called by its name from here on.
nm --defined-only "$work"/*.o | sed -n 's/.* T world_\(.*\)/\1 world_\1/p' | sort -u >"$work/stand-ins"
for object in "$work"/tested-*.o; do objcopy --redefine-syms="$work/stand-ins" "$object"; done
# What is left must be harmless, or an input might do something to the machine.
nm -u "$work"/tested-*.o | awk '{print $2}' | sort -u >"$work/wanted"
nm --defined-only "$work"/*.o | awk 'NF == 3 {print $3}' | sort -u >"$work/there"
unknown=$(comm -23 "$work/wanted" "$work/there" | grep -vxF -f "$here/harmless" |
  grep -v '^__[alu]*b*san_\|^__sanitizer_cov\|^__\(start_\|stop_\)\?_*sancov\|^$' || true)
if [ -n "$unknown" ]; then
  echo "native/fuzz: without a stand-in (world_NAME in world.c or sockets.c), and not known to be harmless:" $unknown >&2
  exit 1
fi
for name; do
  libraries= world="$work/world.o $work/sockets.o $work/privileges.o"
  [ "$(program "$name")" != helper ] || libraries=-lseccomp world="$world $work/filter.o"
  case $name in guard | commands) world="$world $work/clients.o" ;; esac
  # shellcheck disable=SC2086
  $cc $link -o "$directory/$name" "$work/tested-fuzz-$name.o" $(objects "$name") $world "$work/$driver.o" -Wl,-T,"$here/reset.ld" $libraries
done
