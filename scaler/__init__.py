"""Doubles the size of raw images on a WebDAV server."""
