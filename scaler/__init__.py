"""Doubles the size of raw pictures on a WebDAV server."""
