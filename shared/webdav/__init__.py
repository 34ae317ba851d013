"""WebDAV: the client, the store it implements, and what its answers mean."""
