#!/bin/sh
# Builds berth-shim: native/shim/build.sh OUT [sanitize]
set -eu
here=$(dirname "$0")
out=$1
machine=$(uname -m)
flags="-std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE"
if [ "${2:-}" = sanitize ]; then
  # shellcheck disable=SC2086
  exec "${CC:-gcc}" $flags -g -fsanitize=address,undefined -fno-omit-frame-pointer -o "$out" "$here"/*.c
fi
# The kernel's own headers come after musl's, of which they are no part.
# shellcheck disable=SC2086
exec musl-gcc $flags -static -idirafter /usr/include -idirafter "/usr/include/$machine-linux-gnu" -o "$out" "$here"/*.c
