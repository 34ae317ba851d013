# shellcheck shell=bash
# Runs the checks and the tests.

# --coverage adds a report of the lines that ran; --long adds the tests that are too long for CI. All other words are
# passed to pytest; without any, the checks run first and pytest uses all cores.
run_tests() {
  local word coverage='' long=() options=()
  cd "$HERE" || return
  unset PYTHONSAFEPATH
  export POETRY PATH="$ENVIRONMENT/bin:$PATH"
  for word; do
    case $word in
      --coverage) coverage=yes ;;
      --long) long=(--long) ;;
      *) options+=("$word") ;;
    esac
  done
  if ((!${#options[@]})); then
    check
    options=(-n auto --dist worksteal)
  fi
  if [[ $coverage ]]; then
    run_with_coverage "${long[@]}" "${options[@]}"
  else
    exec "$ENVIRONMENT/bin/python" -m pytest "${long[@]}" "${options[@]}"
  fi
}

# .pre-commit-config.yaml lists the same checks.
check() {
  local python="$ENVIRONMENT/bin/python"
  "$python" -m ruff format --check .
  "$python" -m ruff check .
  "$python" -m mypy
  "$python" "$ENVIRONMENT/bin/lint-imports"
  "$python" "$ENVIRONMENT/bin/codespell"
  if type -P shellcheck >/dev/null; then shellcheck run.sh scripts/*.sh .ci/run; fi
}

run_with_coverage() {
  local python="$ENVIRONMENT/bin/python" status=0
  "$python" -m coverage erase
  "$python" -m coverage run -m pytest "$@" || status=$?
  "$python" -m coverage combine --quiet
  "$python" -m coverage report
  return "$status"
}
