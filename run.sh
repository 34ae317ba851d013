#!/usr/bin/env bash
# Finds Python, installs Poetry and the locked dependencies under $HOME (no root), and runs the daemons.
# `./run.sh help` lists the commands.
set -euo pipefail

# The folder of the clone, also when this is called through a symlink or from another folder.
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

# Only $HOME survives a restart of the container, so everything goes there.
DATA="${XDG_DATA_HOME:-${HOME:?Set HOME to a folder to install into}/.local/share}/jupyterhub-images"

# All are read before anything runs: a `git pull` may replace them under a running daemon.
# shellcheck source-path=SCRIPTDIR
source "$HERE/scripts/messages.sh"
source "$HERE/scripts/find_python.sh"
source "$HERE/scripts/get_poetry.sh"
source "$HERE/scripts/pip_index.sh"
source "$HERE/scripts/package_conflicts.sh"
source "$HERE/scripts/install.sh"
source "$HERE/scripts/which_vault.sh"
source "$HERE/scripts/test.sh"

usage() {
  cat <<'TEXT'
Usage: ./run.sh                      run both daemons until Ctrl-C; only the scaler if the server is not a Nextcloud
       ./run.sh scaler [OPTION…]     run one daemon; --help lists its options
       ./run.sh mover [OPTION…]
       ./run.sh status [--web]       show what the daemons did and are doing, here or as a page
       ./run.sh jupyter [--remove]   add a tile for that page to the JupyterLab launcher
       ./run.sh demo [IMAGE…]        show both at work on this machine, with nothing configured
       ./run.sh settings [FILE]      ask for the settings, or read them from a JSON file, and write them into Vault;
                                     --show prints those that are there
       ./run.sh vault                create a private Vault under $HOME if you have none; --status, --stop, --remove
       ./run.sh test [OPTION…]       run all checks and tests, or only pytest with these options;
                                     --long adds the longest tests, --coverage a coverage report
       ./run.sh help                 print this text

Missing dependencies are installed under $HOME first. PYTHON=/path/to/python chooses the interpreter (3.12 or newer).
TEXT
}

# The script is passed to the interpreter, because a shebang line fails where $HOME contains a space. RUN_SH makes
# usage and hints name ./run.sh.
run_daemon() { RUN_SH=yes exec "$ENVIRONMENT/bin/python" "$ENVIRONMENT/bin/$1" "${@:2}"; }

run_module() { RUN_SH=yes exec "$ENVIRONMENT/bin/python" -P -m "$@"; }

run_both() {
  local name pid code asked='' status=0
  declare -A running=()
  trap 'asked=yes; stop INT "${!running[@]}"' INT
  trap 'asked=yes; stop TERM "${!running[@]}"' TERM
  trap 'asked=yes; stop HUP "${!running[@]}"' HUP
  for name in scaler mover; do
    # A signal may come before both have started; then start no more.
    [[ -z $asked ]] || break
    # bash makes background processes ignore SIGINT unless it is reset. A mover that knows of a scaler next to it exits
    # with status 0 if the server is not a Nextcloud.
    (trap - INT && export JUPYTERHUB_IMAGES_BOTH=yes && run_daemon "$name") &
    running[$!]=$name
  done
  while ((${#running[@]})); do
    # Returns when a daemon exits or after a signal; its status does not tell which, so look.
    wait -n "${!running[@]}" || true
    for pid in "${!running[@]}"; do
      kill -0 "$pid" 2>/dev/null && continue
      code=0
      wait "$pid" || code=$?
      # After a signal bash may report -1 for a process that has exited; after the next `wait -n` it knows the status.
      ((code >= 0)) || continue
      name=${running[$pid]}
      unset "running[$pid]"
      ((code == 0)) || one_failed "$name" "$code" "${!running[@]}"
    done
  done
  return "$status"
}

# Sets run_both's status to the first failure and asks the other daemon to stop. A daemon that gets a signal before it
# handles signals is killed by it (129, 130, 143), which is not a failure.
one_failed() {
  if [[ $asked && $2 =~ ^(129|130|143)$ ]]; then return; fi
  asked=yes
  say "the $1 exited with status $2"
  ((status)) || status=$2
  stop TERM "${@:3}"
}

stop() { (($# == 1)) || kill -s "$1" "${@:2}" 2>/dev/null || true; }

# Prints the group that `scaler OPTION…` also needs if it asks for a Dask cluster.
dask_group() {
  local word
  [[ $1 == scaler ]] || return 0
  for word in "$@" ${SCALER_DASK:+--dask}; do
    if [[ $word == --dask || $word == --dask=* ]]; then
      echo ,dask
      return
    fi
  done
}

main() {
  # Only locked packages may be imported, no matter what the terminal's Python is set to add.
  unset PYTHONPATH PYTHONHOME
  # Nor anything in the current folder.
  export PYTHONSAFEPATH=1
  case "${1-}" in
    '')
      say_what_comes_first
      ensure_installed "$(groups_of_daemons)$(dask_group scaler)"
      run_both
      ;;
    scaler | mover)
      ensure_installed "$(groups_of_daemons)$(dask_group "$@")"
      run_daemon "$@"
      ;;
    settings)
      ensure_installed "$(groups_of_settings)"
      run_module shared.commands "$@"
      ;;
    vault)
      ensure_installed main,vault
      run_module shared.commands "$@"
      ;;
    status | jupyter)
      ensure_installed main,status
      run_module shared.commands "$@"
      ;;
    demo)
      ensure_installed main,sandbox
      run_module sandbox.demo "${@:2}"
      ;;
    test)
      ensure_installed main,sandbox,status,dask,dev
      run_tests "${@:2}"
      ;;
    help | -h | --help) usage ;;
    *)
      say "unknown command: $1"
      usage >&2
      exit 2
      ;;
  esac
}

# Last and on one line: bash reads a script as it runs, and a `git pull` may change this file under a running daemon.
main "$@"; exit
