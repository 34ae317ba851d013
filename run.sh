#!/usr/bin/env bash
# Gets everything a terminal needs (Python, Poetry, the locked dependencies; no root) and runs the daemons.
# `./run.sh help` says what else it does.
set -euo pipefail

# Where the clone stands, also when called through a symlink or from another folder.
SELF=$(readlink -f "${BASH_SOURCE[0]}")
HERE=$(dirname "$SELF")

# Only $HOME outlives a container's restart, so that is where everything goes.
DATA="${XDG_DATA_HOME:-${HOME:?HOME must name a folder to install into}/.local/share}/jupyterhub-images"
OWN_POETRY="$DATA/poetry"

# What was installed for this clone; `installed` reads it, `install` writes it.
RECORD="$DATA/installed/$(cksum <<<"$HERE" | tr ' ' -)"
ENVIRONMENT=''
POETRY=''

usage() {
  cat <<'TEXT'
Usage: ./run.sh                      run both daemons until Ctrl-C
       ./run.sh scaler [OPTION…]     run one daemon; --help lists its options
       ./run.sh mover [OPTION…]
       ./run.sh demo [PICTURE…]      show both at work on this machine, with nothing configured
       ./run.sh settings FILE        write the settings in a JSON file into Vault
       ./run.sh test [OPTION…]       all checks and tests, or pytest alone with these options
       ./run.sh help                 this text

What is missing is installed under $HOME first. PYTHON=/path/to/python chooses the interpreter (3.12 or newer).
TEXT
}

say() { printf 'run.sh: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 2
}

# An index URL may carry a password, and pip and Poetry name it in their errors.
mask() { sed -u -E 's#(://)[^/[:space:]]*@#\1***@#g'; }

# A refused password reads "no such package" in both.
INDEX_REMEDY='Does "pip download --no-deps certifi" work? It uses the same index (pip config set global.index-url URL).'

# --- Python -------------------------------------------------------------------------------------------------------

# 3.12 comes first: the whole test suite runs on it, and the newest one may still lack wheels.
PYTHON_VERSIONS=(3.12 3.13 3.14)

interpreters() {
  local version root
  [[ -z ${PYTHON:-} ]] || printf '%s\n' "$PYTHON"
  for version in "${PYTHON_VERSIONS[@]}" 3 ''; do
    type -ap "python$version" || true
  done
  for version in "${PYTHON_VERSIONS[@]}"; do
    while IFS= read -r root; do
      [[ ! -x $root/bin/python$version ]] || printf '%s\n' "$root/bin/python$version"
    done < <(python_homes)
  done
}

python_homes() {
  local conda shim
  shopt -s nullglob
  printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*
  # A shim that only says "command not found" still tells where pyenv keeps the versions it found.
  while IFS= read -r shim; do
    [[ $shim != */shims/* ]] || printf '%s\n' "${shim%/shims/*}"/versions/*
  done < <(type -ap python3 python || true)
  printf '%s\n' "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/*
  for conda in "${CONDA_PREFIX:-/opt/conda}" /opt/conda "$HOME"/{miniconda3,miniforge3,mambaforge,anaconda3,.conda}; do
    printf '%s\n' "$conda" "$conda"/envs/*
  done
}

# Prints "ok PATH" or why this one will not do. Debian leaves out ensurepip, a hand-made build ssl; a free-threaded
# build finds no wheels.
probe() {
  "$1" - 2>/dev/null <<'PYTHON' || printf 'does not run\n'
import sys

def verdict():
    if sys.version_info < (3, 12):
        return "is Python %d.%d" % sys.version_info[:2]
    import sysconfig
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "is not the usual CPython"
    for module in ("ssl", "zlib", "venv", "ensurepip"):
        try:
            __import__(module)
        except ImportError:
            return "lacks the module %s (Debian: apt install python%d.%d-venv)" % ((module,) + sys.version_info[:2])
    return "ok " + sys.executable

print(verdict())
PYTHON
}

find_python() {
  local candidate verdict tried=''
  while IFS= read -r candidate; do
    verdict=$(probe "$candidate")
    if [[ $verdict == 'ok '* ]]; then
      printf '%s\n' "${verdict#ok }"
      return
    fi
    tried+="  $candidate $verdict"$'\n'
    [[ $candidate != "${PYTHON:-}" ]] || say "PYTHON=$candidate $verdict; looking for another"
  done < <(interpreters | awk '!seen[$0]++')
  no_python "$tried"
  return 1
}

no_python() {
  cat >&2 <<TEXT
run.sh: no Python 3.12 or newer that can make virtual environments was found. Tried by running them:
${1:-  (nothing of that name)
}Looked for python3.12, python3.13, python3.14, python3 and python on PATH, and for the first three in
pyenv (${PYENV_ROOT:-$HOME/.pyenv}/versions), uv (${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python})
and conda (\$CONDA_PREFIX, /opt/conda, ~/miniconda3, ~/miniforge3, ~/mambaforge, ~/anaconda3, ~/.conda, and their envs).
Get one without root by one of:  conda create -y -n py312 python=3.12
                                 uv python install 3.12
                                 pyenv install 3.12
or, with root on Debian and Ubuntu:  apt install python3.12-venv
Then run this again; PYTHON=/path/to/python ./run.sh takes one from anywhere else.
TEXT
}

# --- Poetry -------------------------------------------------------------------------------------------------------

# A Poetry without the mirror plugin cannot install from an index that lacks PyPI's own JSON pages, as many sites' do.
poetry_serves() {
  local interpreter
  [[ -x $1 ]] && IFS= read -r interpreter <"$1" && [[ $interpreter == '#!'*python* ]] || return 1
  read -ra interpreter <<<"${interpreter#'#!'}"
  "${interpreter[@]}" - 2>/dev/null <<'PYTHON'
import importlib.metadata, sys

importlib.metadata.version("poetry-plugin-pypi-mirror")
version = tuple(int(part) for part in importlib.metadata.version("poetry").split(".")[:2])
sys.exit(not (2, 2) <= version < (3, 0))
PYTHON
}

find_poetry() {
  POETRY=$(type -P poetry || true)
  poetry_serves "$POETRY" && return
  POETRY="$OWN_POETRY/bin/poetry"
  # The mark is written last: without it an earlier start was interrupted here.
  [[ -e $OWN_POETRY/complete ]] && "$POETRY" --version &>/dev/null && return
  get_poetry "$1"
}

get_poetry() {
  say "getting Poetry into $OWN_POETRY …"
  rm -rf "$OWN_POETRY"
  "$1" -m venv "$OWN_POETRY" || die "$1 could not make a virtual environment in $OWN_POETRY"
  "$OWN_POETRY/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    'poetry>=2.2,<3' 'poetry-plugin-pypi-mirror>=0.6' 2>&1 | mask >&2 ||
    die "pip could not install Poetry; the lines above say why. $INDEX_REMEDY"
  touch "$OWN_POETRY/complete"
  if ! type -P poetry >/dev/null && [[ ! -e $HOME/.local/bin/poetry && ! -L $HOME/.local/bin/poetry ]]; then
    mkdir -p "$HOME/.local/bin"
    ln -s "$OWN_POETRY/bin/poetry" "$HOME/.local/bin/poetry"
  fi
}

poetry() {
  "$POETRY" --no-interaction --no-ansi --directory "$HERE" "$@" 2>&1 | mask >&2
}

# --- Installing ---------------------------------------------------------------------------------------------------

# Poetry must make an environment of its own, whatever is active in the terminal, and never wait for a keyring.
prepare_poetry() {
  unset VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV
  export POETRY_VIRTUALENVS_CREATE=true PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring
  export PIP_USER=0
  # Without it urllib3-future takes the place of urllib3, on which the WebDAV and Vault clients stand.
  export URLLIB3_NO_OVERRIDE=1
}

# Poetry installs from where pip does. pip is asked itself: its option parser knows every configuration file and
# variable, and its built-in index. The answer stays in variables; it is never printed.
use_pips_index() {
  local answer
  answer=$(pip_answer "$1" || pip_answer "$ENVIRONMENT/bin/python") || die 'pip did not say which index it uses'
  eval "$answer"
}

pip_answer() {
  "$1" - 2>/dev/null <<'PYTHON'
import os
import shlex
from urllib.parse import unquote, urlsplit

from pip._internal.commands import create_command

options, _ = create_command("install").parse_args([])
url = urlsplit(os.environ.get("POETRY_PYPI_MIRROR_URL") or options.index_url)
answer = {"POETRY_PYPI_MIRROR_URL": url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()}
if url.username:
    answer["POETRY_HTTP_BASIC_PYPI_USERNAME"] = unquote(url.username)
    answer["POETRY_HTTP_BASIC_PYPI_PASSWORD"] = unquote(url.password or "")
if options.cert and not os.environ.get("REQUESTS_CA_BUNDLE"):
    answer["REQUESTS_CA_BUNDLE"] = options.cert
for name, value in answer.items():
    print(f"export {name}={shlex.quote(value)}")
PYTHON
}

stamp() {
  { cat "$SELF" "$HERE"/{pyproject.toml,poetry.toml,poetry.lock} && printf '%s' "${PYTHON:-}"; } | sha256sum
}

site_packages() { printf '%s\n' "$ENVIRONMENT"/lib/python3.*/site-packages; }

cv2_loads() { "$ENVIRONMENT/bin/python" -c 'import cv2'; }

cv2_distributions() { (cd "$(site_packages)" && shopt -s nullglob && echo opencv_python*.dist-info); }

# True if the groups $1 ("main", "main,sandbox" or "main,sandbox,dev") are there, as locked, and still work: $HOME
# outlives the container's image, and the next image may lack the interpreter or a library.
installed() {
  local stamp groups cv2
  [[ -r $RECORD ]] || return 1
  { read -r stamp && read -r groups && read -r cv2 && read -r ENVIRONMENT && read -r POETRY; } <"$RECORD" || return 1
  [[ $groups == "$1"* && -x $ENVIRONMENT/bin/python && $stamp == "$(stamp)" && $cv2 == "$(cv2_distributions)" ]] &&
    [[ ! -e $(site_packages)/urllib3_future.pth ]] && cv2_loads &>/dev/null
}

# Some network homes refuse locks; then it goes without.
wait_for_lock() {
  type -P flock >/dev/null || return 0
  flock -n 9 2>/dev/null && return
  say 'waiting for another start to finish installing …'
  flock 9 2>/dev/null || true
}

# A second start waits for the first one's installation.
ready() {
  installed "$1" && return
  mkdir -p "$(dirname "$RECORD")"
  # No `||` or `&&` around this: bash would no longer stop at a failure inside.
  (
    wait_for_lock
    installed "$1" || install "$1"
  ) 9>"$DATA/lock"
  installed "$1" || die "the installation in $ENVIRONMENT changed under way; run this again"
}

install() {
  local python
  python=$(find_python) || exit 2
  prepare_poetry
  find_poetry "$python"
  # An installer that was killed can leave half a package that looks whole: begin again.
  if [[ -e $RECORD.started ]]; then poetry env remove --all || true; fi
  rm -f "$RECORD"
  touch "$RECORD.started"
  say "installing the locked dependencies for $python …"
  poetry env use "$python" || die "Poetry could not make an environment with $python; the lines above say why"
  ENVIRONMENT=$("$POETRY" --no-ansi --directory "$HERE" env info --path)
  "$ENVIRONMENT/bin/python" -c 'import pip' 2>/dev/null || "$ENVIRONMENT/bin/python" -m ensurepip >/dev/null
  use_pips_index "$python"
  poetry_install "$1"
  settle_urllib3 "$1"
  settle_cv2
  printf '%s\n' "$(stamp)" "$1" "$(cv2_distributions)" "$ENVIRONMENT" "$POETRY" >"$RECORD.new"
  mv "$RECORD.new" "$RECORD"
  rm "$RECORD.started"
}

poetry_install() {
  poetry install --only "$@" ||
    die "Poetry could not install the dependencies; the lines above say why. $INDEX_REMEDY"
}

uninstall() { "$ENVIRONMENT/bin/python" -m pip uninstall -qq --yes "$@" 2>&1 | mask >&2; }

# Somebody's own `poetry install` without URLLIB3_NO_OVERRIDE brings the file that puts urllib3-future over urllib3.
settle_urllib3() {
  local packages
  packages=$(site_packages)
  [[ -e $packages/urllib3_future.pth ]] || return 0
  rm "$packages/urllib3_future.pth"
  uninstall urllib3
  rm -rf "$packages/urllib3"
  poetry_install "$1"
}

# opencv-python needs libGL and more, which many containers lack; the headless one is the same cv2 without windows.
# Both are files in one folder: where both are there, or one was, neither is whole.
settle_cv2() {
  local trouble
  if [[ $(cv2_distributions) != *' '* ]]; then
    trouble=$(cv2_loads 2>&1) && return
    trouble=${trouble##*$'\n'}
    [[ $trouble == *.so* ]] || die "OpenCV does not load: $trouble"
    say "OpenCV does not load here (${trouble#*Error: }); taking opencv-python-headless"
  fi
  uninstall opencv-python opencv-python-headless
  poetry_install headless --no-root
  cv2_loads || die 'opencv-python-headless does not load either; the line above says why'
}

# --- Running ------------------------------------------------------------------------------------------------------

# Scripts are given to the interpreter: their first line does not survive a space in $HOME.
run_daemon() { exec "$ENVIRONMENT/bin/python" "$ENVIRONMENT/bin/$1" "${@:2}"; }

run_module() { exec "$ENVIRONMENT/bin/python" -P -m "$@"; }

run_both() {
  local name pid code asked='' status=0
  declare -A running=()
  trap 'asked=yes; stop INT "${!running[@]}"' INT
  trap 'asked=yes; stop TERM "${!running[@]}"' TERM
  trap 'asked=yes; stop HUP "${!running[@]}"' HUP
  for name in scaler mover; do
    # Asked to stop before all had started: no more are.
    [[ -z $asked ]] || break
    # bash would have it ignore SIGINT, being in the background.
    (trap - INT && run_daemon "$name") &
    running[$!]=$name
  done
  while ((${#running[@]})); do
    # Comes back when one ends or a signal was passed on; who ended is looked up, not concluded.
    wait -n "${!running[@]}" || true
    for pid in "${!running[@]}"; do
      kill -0 "$pid" 2>/dev/null && continue
      code=0
      wait "$pid" || code=$?
      # After a signal bash can say -1 of one that ended; the next `wait -n` lets it know better.
      ((code >= 0)) || continue
      name=${running[$pid]}
      unset "running[$pid]"
      ((code == 0)) || one_failed "$name" "$code" "${!running[@]}"
    done
  done
  return "$status"
}

# Sets run_both's status to the first failure and asks the other daemon to stop. One that was asked to stop before it
# could listen for signals dies of them (129, 130, 143), which is no failure.
one_failed() {
  if [[ $asked && $2 =~ ^(129|130|143)$ ]]; then return; fi
  asked=yes
  say "the $1 ended with status $2"
  ((status)) || status=$2
  stop TERM "${@:3}"
}

stop() { (($# == 1)) || kill -s "$1" "${@:2}" 2>/dev/null || true; }

run_tests() {
  cd "$HERE"
  export POETRY PATH="$ENVIRONMENT/bin:$PATH"
  local python="$ENVIRONMENT/bin/python"
  if ((!$#)); then
    check "$python"
    set -- -n auto --dist worksteal
  fi
  exec "$python" -m pytest "$@"
}

check() {
  "$1" -m ruff format --check .
  "$1" -m ruff check .
  "$1" -m mypy
  "$1" "$ENVIRONMENT/bin/lint-imports"
  if type -P shellcheck >/dev/null; then shellcheck run.sh .ci/run; fi
}

main() {
  # What is locked is what runs, whatever the terminal's Python is told to add.
  unset PYTHONPATH PYTHONHOME
  case "${1-}" in
    '')
      ready main
      run_both
      ;;
    scaler | mover)
      ready main
      run_daemon "$@"
      ;;
    settings)
      ready main
      run_module shared.config.write_settings "${@:2}"
      ;;
    demo)
      ready main,sandbox
      run_module sandbox.demo "${@:2}"
      ;;
    test)
      ready main,sandbox,dev
      run_tests "${@:2}"
      ;;
    help | -h | --help) usage ;;
    *)
      say "there is no $1 here"
      usage >&2
      exit 2
      ;;
  esac
}

# On one line, and after all has been read: the file may change under a running daemon (git pull).
main "$@"; exit
