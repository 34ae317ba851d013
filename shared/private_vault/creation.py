"""Creates and removes the private Vault."""

import shutil

import hvac

from shared.private_vault.layout import SECRETS, Layout, lock, private_files
from shared.private_vault.server import MOUNT, Server, ServerError, installed_version

ROLE = "jupyterhub-images"
# Its own token may be looked up and renewed; the default policy would allow more.
POLICY = "\n".join(
    [
        *(f'path "{MOUNT}/data/{name}" {{ capabilities = ["read"] }}' for name in SECRETS),
        'path "auth/token/lookup-self" { capabilities = ["read"] }',
        'path "auth/token/renew-self" { capabilities = ["update"] }',
    ]
)


def create(layout: Layout) -> bool:
    """Create the private Vault; return False if there is one.

    It is built in a temporary folder that is renamed at the end, so an interruption leaves no partial Vault.

    Raises:
        ServerError: OpenBao does not start, or the files cannot be protected from other users.
    """
    version = installed_version()
    from shared.private_vault.certificates import write_certificates  # noqa: PLC0415 - it may not be installed either

    layout.folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(layout.folder.with_name("vault.lock")), private_files():
        if layout.exists:
            return False
        new = Layout(layout.folder.with_name("vault.new"))
        for leftover in (new.folder, layout.folder):
            shutil.rmtree(leftover, ignore_errors=True)
        new.folder.mkdir(mode=0o700)
        if new.folder.stat().st_mode & 0o077:
            raise ServerError(
                f"The file system of {new.folder.parent} does not protect private files. Set XDG_DATA_HOME to a folder"
                " on another file system"
            )
        new.data.mkdir()
        write_certificates(new)
        with Server(new) as server:
            _set_up(new, server)
        new.write(new.version, version)
        new.folder.rename(layout.folder)
        return True


def remove(layout: Layout) -> None:
    """Remove the private Vault with all that is in it; it must not be in use."""
    gone = layout.folder.with_name("vault.new")
    with lock(layout.folder.with_name("vault.lock")):
        shutil.rmtree(gone, ignore_errors=True)
        layout.folder.rename(gone)
        shutil.rmtree(gone)


def _set_up(layout: Layout, server: Server) -> None:
    """Initialize and unseal it, with a KV store and an AppRole."""
    made = server.client().sys.initialize(secret_shares=1, secret_threshold=1)
    layout.write(layout.unseal_key, made["keys_base64"][0])
    layout.write(layout.root_token, made["root_token"])
    root = server.client(made["root_token"])
    server.wait(lambda: _unsealed(root, made["keys_base64"][0]))
    root.sys.enable_secrets_engine("kv", path=MOUNT, options={"version": "2"})
    server.unseal()
    root.sys.create_or_update_policy(ROLE, POLICY)
    root.sys.enable_auth_method("approle")
    lifetimes = {"token_ttl": "1h", "token_max_ttl": "24h"}
    root.auth.approle.create_or_update_approle(ROLE, token_policies=[ROLE], token_no_default_policy=True, **lifetimes)
    layout.write(layout.role_id, root.auth.approle.read_role_id(ROLE)["data"]["role_id"])
    layout.write(layout.secret_id, root.auth.approle.generate_secret_id(ROLE)["data"]["secret_id"])


def _unsealed(root: hvac.Client, key: str) -> bool:
    """Whether it is unsealed and the only, leading node."""
    if root.sys.is_sealed():
        root.sys.submit_unseal_key(key)
    return bool(root.sys.read_health_status(method="GET") and root.sys.read_leader_status()["is_self"])
