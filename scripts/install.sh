# shellcheck shell=bash
# Installs the locked dependencies into an environment of this clone, once.

# What was installed for this clone; `installed` reads it, `install` writes it.
RECORD="$DATA/installed/$(cksum <<<"$HERE" | tr ' ' -)"
ENVIRONMENT=''
POETRY=''

# Sets ENVIRONMENT and POETRY, and installs the groups $1 (such as "main" or "main,sandbox,status,dev") if any of them
# is missing. A second start waits while the first one installs.
ensure_installed() {
  installed "$1" && return
  mkdir -p "$(dirname "$RECORD")"
  # No `||` or `&&` around this: bash would no longer stop at a failure inside.
  (
    wait_for_lock
    installed "$1" || install "$(with_recorded "$1")"
  ) 9>"$DATA/lock"
  installed "$1" || die "the installation in $ENVIRONMENT changed in the meantime; run this again"
}

# True if the groups are installed as locked and still work: $HOME outlives the container's image, and the next image
# may lack the interpreter or a library.
installed() {
  local stamp groups cv2
  [[ -r $RECORD ]] || return 1
  { read -r stamp && read -r groups && read -r cv2 && read -r ENVIRONMENT && read -r POETRY; } <"$RECORD" || return 1
  has_groups "$groups" "$1" &&
    [[ -x $ENVIRONMENT/bin/python && $stamp == "$(stamp)" && $cv2 == "$(cv2_distributions)" ]] &&
    ! urllib3_is_replaced && cv2_loads &>/dev/null
}

# True if the groups $1 include all of $2; the sandbox includes the vault.
has_groups() {
  local group
  for group in ${2//,/ }; do
    [[ ,${1/sandbox/sandbox,vault}, == *,$group,* ]] || return 1
  done
}

# The groups $1, and those that are installed as locked already: the next command that needs them finds them recorded.
with_recorded() {
  local stamp groups group all=$1
  if { read -r stamp && read -r groups; } 2>/dev/null <"$RECORD" && [[ $stamp == "$(stamp)" ]]; then
    for group in ${groups//,/ }; do has_groups "$all" "$group" || all+=,$group; done
  fi
  printf '%s\n' "$all"
}

stamp() {
  { cat "$HERE"/scripts/*.sh "$HERE"/{pyproject.toml,poetry.toml,poetry.lock} && printf '%s' "${PYTHON:-}"; } |
    sha256sum
}

# Some network file systems do not support locks; then there is no waiting.
wait_for_lock() {
  type -P flock >/dev/null || return 0
  flock -n 9 2>/dev/null && return
  say 'waiting for another start to finish installing …'
  flock 9 2>/dev/null || true
}

install() {
  local python
  python=$(find_python) || exit 2
  prepare_poetry
  find_poetry "$python"
  # An installer that was killed can leave half a package that looks complete: start afresh.
  if [[ -e $RECORD.started ]]; then poetry env remove --all || true; fi
  rm -f "$RECORD"
  touch "$RECORD.started"
  say "installing the locked dependencies for $python …"
  poetry env use "$python" || die "Poetry could not create an environment with $python; the lines above say why"
  ENVIRONMENT=$("$POETRY" --no-ansi --directory "$HERE" env info --path)
  "$ENVIRONMENT/bin/python" -c 'import pip' 2>/dev/null || "$ENVIRONMENT/bin/python" -m ensurepip >/dev/null
  use_pip_index "$python"
  poetry_install "$1"
  restore_urllib3 "$1"
  choose_cv2
  printf '%s\n' "$(stamp)" "$1" "$(cv2_distributions)" "$ENVIRONMENT" "$POETRY" >"$RECORD.new"
  mv "$RECORD.new" "$RECORD"
  rm "$RECORD.started"
}

poetry_install() {
  poetry install --only "$@" ||
    die "Poetry could not install the dependencies; the lines above say why. $INDEX_HINT"
}
