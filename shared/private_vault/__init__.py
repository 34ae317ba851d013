"""A private, persistent OpenBao under `$HOME`, for people who have no Vault.

It listens on loopback only, with TLS and its own certificate authority, and runs for as long as a process uses it.
Its unseal key and root token are stored next to its data: it is as safe as the files of the account, no safer.
"""
