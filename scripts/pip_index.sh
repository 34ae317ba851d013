# shellcheck shell=bash
# Makes Poetry install from the index that pip is set to, with the same credentials and certificate.

# The answer may contain a password, so it stays in variables and is never printed.
use_pip_index() {
  local answer
  answer=$(pip_index "$1" || pip_index "$ENVIRONMENT/bin/python") ||
    die "pip could not say which index it uses; run \"$1 -m pip config list\" to see why"
  eval "$answer"
}

# Prints shell commands that export what Poetry needs. `pip config list` merges pip's files and environment, credentials
# included; the help of `pip install` names the index in use (built-in where none is set) but masks its credentials.
pip_index() {
  "$1" -P - 2>/dev/null <<'PYTHON'
import ast
import os
import re
import shlex
import subprocess
import sys
from urllib.parse import unquote, urlsplit

def pip(*words):
    command = [sys.executable, "-P", "-m", "pip", *words]
    environment = {**os.environ, "COLUMNS": "1000"}  # an URL must not be wrapped
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

settings = {}
for line in pip("config", "list").splitlines():
    name, _, value = line.partition("=")
    settings[name] = ast.literal_eval(value)

def configured(option):
    in_pips_order = (f"{section}.{option}" for section in (":env:", "install", "global"))
    return next((settings[name] for name in in_pips_order if settings.get(name)), None)

def built_in_index():
    return re.search(r"--index-url <url>.*?\(default (\S+)\)", pip("install", "--help"), re.DOTALL)[1]

url = urlsplit(os.environ.get("POETRY_PYPI_MIRROR_URL") or configured("index-url") or built_in_index())
answer = {"POETRY_PYPI_MIRROR_URL": url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()}
if url.username:
    answer["POETRY_HTTP_BASIC_PYPI_USERNAME"] = unquote(url.username)
    answer["POETRY_HTTP_BASIC_PYPI_PASSWORD"] = unquote(url.password or "")
if (certificate := configured("cert")) and not os.environ.get("REQUESTS_CA_BUNDLE"):
    answer["REQUESTS_CA_BUNDLE"] = certificate
for name, value in answer.items():
    print(f"export {name}={shlex.quote(value)}")
PYTHON
}
