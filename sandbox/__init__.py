"""A throwaway Vault and Nextcloud on loopback, for the demo and the tests."""
