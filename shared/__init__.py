"""What both daemons need: settings from Vault, files over WebDAV, stopping, pausing, logging, errors."""
