# shellcheck shell=bash
# Messages of run.sh. They go to standard error: standard output belongs to the commands it runs.

say() { printf 'run.sh: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 2
}

# pip and Poetry repeat the index URL in their errors, and it may contain a password.
mask() { sed -u -E 's#(://)[^/[:space:]]*@#\1***@#g'; }
