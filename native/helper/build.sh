#!/bin/sh
# Builds berth-helper: native/helper/build.sh OUT [sanitize]
set -eu
here=$(dirname "$0")
out=$1
flags="-std=gnu17 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE"
if [ "${2:-}" = sanitize ]; then
  flags="$flags -g -fsanitize=address,undefined -fno-omit-frame-pointer"
else
  flags="$flags -static"
fi
# shellcheck disable=SC2086
exec "${CC:-gcc}" $flags -o "$out" "$here"/*.c -lseccomp
