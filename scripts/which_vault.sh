# shellcheck shell=bash
# Which Vault the settings are in, and what has to be installed for it. shared/config/source.py decides in the same way.

environment_names_vault() {
  [[ -n ${VAULT_ADDR:-}${VAULT_TOKEN:-}${VAULT_ROLE_ID:-}${VAULT_K8S_ROLE:-} ]]
}

private_vault_exists() { [[ -e $DATA/vault/secret-id ]]; }

# OpenBao is large, so it is only installed where it is used.
groups_of_daemons() {
  if ! environment_names_vault && private_vault_exists; then echo main,vault; else echo main; fi
}

# If there is no Vault yet, `settings` offers to create one.
groups_of_settings() {
  if environment_names_vault; then echo main; else echo main,vault; fi
}

# Before anything is installed: without settings both daemons would only report that.
say_what_comes_first() {
  if environment_names_vault || private_vault_exists || [[ -e $HOME/.vault-token ]]; then return; fi
  die 'there are no settings yet. To enter them, type:  ./run.sh settings'
}
