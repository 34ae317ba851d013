"""How fast the daemons are beside other ways of doing the same: `python -m tests.bench`."""
