"""Image servers for the tests: real ones on loopback, each with a private configuration in a temporary folder."""
