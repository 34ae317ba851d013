"""What the daemons did and are doing, from what they recorded: in the terminal and as a page."""
