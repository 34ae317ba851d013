"""Everything that can go wrong between a daemon and its server, made to go wrong, and the images counted after it."""
