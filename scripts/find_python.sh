# shellcheck shell=bash
# Finds a Python that can run the daemons.

# 3.12 comes first: the whole test suite runs on it, and the newest one may still lack wheels.
PYTHON_VERSIONS=(3.12 3.13 3.14)

# Prints the path of the first interpreter that will do; explains what was tried if there is none.
find_python() {
  local candidate verdict tried=''
  while IFS= read -r candidate; do
    verdict=$(probe "$candidate")
    if [[ $verdict == 'ok '* ]]; then
      printf '%s\n' "${verdict#ok }"
      return
    fi
    tried+="  $candidate $verdict"$'\n'
    [[ $candidate != "${PYTHON:-}" ]] || say "PYTHON=$candidate $verdict; looking for another Python"
  done < <(interpreters | awk '!seen[$0]++')
  explain_no_python "$tried"
  return 1
}

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
  lines "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*
  # Even a shim that only prints "command not found" shows where pyenv keeps its versions.
  while IFS= read -r shim; do
    [[ $shim != */shims/* ]] || lines "${shim%/shims/*}"/versions/*
  done < <(type -ap python3 python || true)
  lines "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/*
  for conda in "${CONDA_PREFIX:-/opt/conda}" /opt/conda "$HOME"/{miniconda3,miniforge3,mambaforge,anaconda3,.conda}; do
    lines "$conda" "$conda"/envs/*
  done
}

# One line for each word; printf alone would print an empty one for none, which stands for the root folder.
lines() { (($# == 0)) || printf '%s\n' "$@"; }

# Prints "ok PATH" or why this interpreter will not do. Debian leaves out ensurepip, a hand-made build may lack ssl,
# and there are no wheels for a free-threaded build.
probe() {
  "$1" - 2>/dev/null <<'PYTHON' || printf 'does not run\n'
import sys

def verdict():
    if sys.version_info < (3, 12):
        return "is Python %d.%d" % sys.version_info[:2]
    import sysconfig
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "is not a standard CPython build"
    for module in ("ssl", "zlib", "venv", "ensurepip"):
        try:
            __import__(module)
        except ImportError:
            # Debian and Ubuntu have ensurepip in a package of its own; without the others it is a hand-made build.
            hint = " (Debian and Ubuntu: apt install python%d.%d-venv)" % sys.version_info[:2]
            return "lacks the module %s%s" % (module, hint if module == "ensurepip" else "")
    return "ok " + sys.executable

print(verdict())
PYTHON
}

explain_no_python() {
  cat >&2 <<TEXT
run.sh: found no Python 3.12 or newer that can make virtual environments. Interpreters tried:
${1:-  (none found)
}Searched for python3.12, python3.13, python3.14, python3 and python on PATH, and for the first three in
pyenv (${PYENV_ROOT:-$HOME/.pyenv}/versions), uv (${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python})
and conda (\$CONDA_PREFIX, /opt/conda, ~/miniconda3, ~/miniforge3, ~/mambaforge, ~/anaconda3, ~/.conda, and their envs).
To install one without root:  $(without_root)
$(with_root)
Then run this again. To use a Python from anywhere else, run PYTHON=/path/to/python ./run.sh
TEXT
}

# Names a tool that is there; without any, the one that takes least.
without_root() {
  local tool
  for tool in uv conda mamba micromamba pyenv; do
    type -P "$tool" >/dev/null || continue
    case $tool in
      uv) echo 'uv python install 3.12' ;;
      pyenv) echo 'pyenv install 3.12' ;;
      *) echo "$tool create -y -n py312 python=3.12" ;;
    esac
    return
  done
  echo 'install uv (https://docs.astral.sh/uv), then run  uv python install 3.12'
}

# What the distribution has.
with_root() {
  local ID='' VERSION_ID='' PRETTY_NAME='this distribution' release=${OS_RELEASE:-/etc/os-release}
  # shellcheck disable=SC1090 # not a file of ours
  [[ ! -r $release ]] || source "$release"
  case $ID-${VERSION_ID%%.*} in
    debian-[0-9] | debian-1[012] | ubuntu-1? | ubuntu-2[0123])
      echo "With root: the Python of $PRETTY_NAME is older than 3.12, so apt does not help" ;;
    debian-* | ubuntu-*) echo 'With root:                    apt install python3-venv' ;;
    *) echo 'With root: your distribution may have a package of Python 3.12 or newer, with venv' ;;
  esac
}
