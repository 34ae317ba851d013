#!/usr/bin/env bash
# What the README says, by an ordinary user on a bare Debian: only python3-venv is there, no libGL and no compiler.
#
#   bare_debian.sh ROOT [WORD…]
#
# Makes a Debian 13 in the folder ROOT if there is none (as root, with debootstrap and apt's own mirror), copies the clone that this
# script lies in into the home of a user, and runs each step there. WORDs instead: run `./run.sh WORD…` there.
# WEBDAV_URL, WEBDAV_USER and WEBDAV_PASSWORD name a WebDAV server that is not a Nextcloud, for the last steps.
set -euo pipefail

HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
ROOT=$1
CLONE=/home/user/clone

make_debian() {
  [[ ! -e $ROOT/complete ]] || return 0
  local mirror
  # shellcheck disable=SC2016 # apt fills it in
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed -n 1p)
  debootstrap --variant=minbase --include=python3-venv,ca-certificates trixie "$ROOT" "$mirror" >&2
  chroot "$ROOT" useradd --create-home --shell /bin/bash user
  touch "$ROOT/complete"
}

# The network is this machine's: its names, its authorities, and the index that pip is set to.
connect() {
  cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/ssl/certs/"
  {
    echo '[global]'
    python3 -m pip config list | sed -nE "s/^(global|:env:)\.(index-url|cert)='(.*)'$/\2 = \3/p" | sort -u
  } >"$ROOT/etc/pip.conf"
}

copy_clone() {
  mkdir -p "$ROOT$CLONE"
  (cd "$HERE" && git ls-files -z | tar --null --files-from - --create) | tar --extract --directory "$ROOT$CLONE"
  chroot "$ROOT" chown -R user:user "$CLONE"
}

# As the user, with nothing of this machine's environment.
as_user() {
  # shellcheck disable=SC2016 # for the shell inside
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$0/proc"
    exec chroot --userspec=user:user "$0" /usr/bin/env -i HOME=/home/user PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
      WEBDAV_URL="$WEBDAV_URL" WEBDAV_USER="$WEBDAV_USER" WEBDAV_PASSWORD="$WEBDAV_PASSWORD" "$@"
  ' "$ROOT" "$@"
}

export WEBDAV_URL="${WEBDAV_URL:-}" WEBDAV_USER="${WEBDAV_USER:-}" WEBDAV_PASSWORD="${WEBDAV_PASSWORD:-}"
make_debian
connect
copy_clone
if (($# > 1)); then
  # shellcheck disable=SC2016 # for the shell inside
  as_user bash -c 'cd "$0" && exec ./run.sh "$@"' "$CLONE" "${@:2}"
else
  as_user bash "$CLONE/tests/run_sh/bare_steps.sh"
fi
