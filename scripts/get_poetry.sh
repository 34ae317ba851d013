# shellcheck shell=bash
# Finds a Poetry that can install from pip's index, or installs one under $HOME, and runs it.

OWN_POETRY="$DATA/poetry"

# A rejected password also reads "no such package" in pip and in Poetry.
INDEX_HINT='Try "pip download --no-deps certifi", which uses the same index (pip config set global.index-url URL).'

poetry() {
  "$POETRY" --no-interaction --no-ansi --directory "$HERE" "$@" 2>&1 | mask >&2
}

# Poetry must make its own environment, no matter what is active in the terminal, and must never wait for a keyring.
prepare_poetry() {
  drop_install_variables
  unset VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV
  export POETRY_VIRTUALENVS_CREATE=true PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring
  # A configuration file of pip's may say otherwise.
  export PIP_USER=0
  # Without it urllib3-future replaces urllib3, which the WebDAV and Vault clients need.
  export URLLIB3_NO_OVERRIDE=1
}

# A site's variables tell where packages come from and how to get there. What they tell about which packages to install,
# how and to where is meant for its own installations.
drop_install_variables() {
  local name
  for name in "${!PIP_@}" "${!POETRY_@}"; do
    case $name in
      PIP_CONFIG_FILE | PIP_*INDEX* | PIP_FIND_LINKS | PIP_TRUSTED_HOST | PIP_*CERT | PIP_PROXY) ;;
      PIP_*TIMEOUT | PIP_*RETRIES | PIP_*CACHE_DIR) ;;
      POETRY_PYPI_* | POETRY_HTTP_BASIC_* | POETRY_CERTIFICATES_* | POETRY_REPOSITORIES_* | POETRY_REQUESTS_*) ;;
      POETRY_CACHE_DIR | POETRY_CONFIG_DIR | POETRY_VIRTUALENVS_PATH | POETRY_INSTALLER_MAX_WORKERS) ;;
      *) unset "$name" ;;
    esac
  done
}

# Sets POETRY; $1 is the Python to install it with.
find_poetry() {
  POETRY=$(type -P poetry || true)
  is_usable_poetry "$POETRY" && return
  POETRY="$OWN_POETRY/bin/poetry"
  # This file is written last: if it is missing, an earlier installation was interrupted.
  [[ -e $OWN_POETRY/complete ]] && "$POETRY" --version &>/dev/null && return
  get_poetry "$1"
}

# Without the mirror plugin Poetry cannot install from an index that lacks PyPI's JSON pages, as many mirrors do.
is_usable_poetry() {
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

get_poetry() {
  say "installing Poetry in $OWN_POETRY …"
  rm -rf "$OWN_POETRY"
  "$1" -m venv "$OWN_POETRY" ||
    die "$1 could not create a virtual environment in $OWN_POETRY; the lines above say why"
  "$OWN_POETRY/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
    'poetry>=2.2,<3' 'poetry-plugin-pypi-mirror>=0.6' 2>&1 | mask >&2 ||
    die "pip could not install Poetry; the lines above say why. $INDEX_HINT"
  touch "$OWN_POETRY/complete"
  if ! type -P poetry >/dev/null && [[ ! -e $HOME/.local/bin/poetry && ! -L $HOME/.local/bin/poetry ]]; then
    mkdir -p "$HOME/.local/bin"
    ln -s "$OWN_POETRY/bin/poetry" "$HOME/.local/bin/poetry"
  fi
}
