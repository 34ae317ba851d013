#!/usr/bin/env bash
# The steps of bare_debian.sh, inside it: each prints its time, and the first that fails ends this.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."

# step NAME STATUS TEXT COMMAND…: the command exits with STATUS and prints TEXT.
step() {
  local began=$SECONDS status=0 said
  said=$("${@:4}" 2>&1) || status=$?
  if [[ $status != "$2" || $said != *"$3"* ]]; then
    printf '%s\n' "$said" "FAILED: $1 (status $status, expected $2 and: $3)"
    exit 1
  fi
  printf 'ok  %4d s  %s\n' $((SECONDS - began)) "$1"
}

# answer 'COMMAND OPTION…' ANSWER…
answer() {
  local words
  read -ra words <<<"$1"
  printf '%s\n' "${@:2}" | ./run.sh "${words[@]}"
}

# Both daemons, until an image with this name is in the folder.
run_until() {
  local name=$1 folder=$2 pid
  ./run.sh >run.log 2>&1 &
  pid=$!
  for _ in {1..300}; do
    compgen -G "$folder/${name}_*.jpg" >/dev/null && break
    sleep 0.2
  done
  kill -TERM "$pid"
  wait "$pid" || { cat run.log; return 1; }
  compgen -G "$folder/${name}_*.jpg" || { cat run.log; return 1; }
}

! [[ -e /usr/lib/x86_64-linux-gnu/libGL.so.1 ]] && ! type -P cc gcc
step 'nothing is set' 2 'type:  ./run.sh settings' ./run.sh
step 'demo, from an empty home' 0 'Filed after' ./run.sh demo
step 'demo, again' 0 'Filed after' ./run.sh demo
step 'vault' 0 'as safe as your account' ./run.sh vault
step 'vault --status' 0 'Not running' ./run.sh vault --status

python=$(sed -n 4p ~/.local/share/jupyterhub-images/installed/*)/bin/python
mkfifo servers
"$python" -P -m sandbox >servers 2>sandbox.log &
sandbox=$!
exec {exports}<servers
for _ in {1..6}; do
  IFS= read -r line <&"$exports"
  [[ $line == 'export VAULT_'* ]] || eval "$line"
done
step 'settings, answers piped' 0 'Written to the private Vault' \
  answer settings "$NEXTCLOUD_URL" "$NEXTCLOUD_USER" "$NEXTCLOUD_PASSWORD" '' Unknown '' '' ai
step 'settings --show' 0 "$NEXTCLOUD_USER" ./run.sh settings --show
step 'scaler --check' 0 'since neither VAULT_ADDR nor a login is set' ./run.sh scaler --check
step 'mover --check' 0 'since neither VAULT_ADDR nor a login is set' ./run.sh mover --check
"$python" -c 'from PIL import Image; import sys; Image.new("RGB", (90, 60), "red").save(sys.argv[1])' \
  "$NEXTCLOUD_FOLDER/data/AI/_raw/Unknown-1.jpg"
step 'both daemons on a Nextcloud' 0 Unknown-1_ run_until Unknown-1 "$NEXTCLOUD_FOLDER/data/AI/_unsorted"
kill "$sandbox"

if [[ $WEBDAV_URL ]]; then
  step 'settings for another WebDAV server' 0 'The mover needs a Nextcloud' \
    answer settings "$WEBDAV_URL" "$WEBDAV_USER" "$WEBDAV_PASSWORD" raw y Unknown new y
  step 'scaler --check there' 0 'Upload, move and delete' ./run.sh scaler --check
  step 'scaler --once there' 0 '' ./run.sh scaler --once
fi
step 'vault --remove' 0 'Removed.' answer 'vault --remove' y
du -sh ~/.cache/pypoetry ~/.local/share/jupyterhub-images
