"""Upscales the raw images on a WebDAV server."""
