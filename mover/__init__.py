"""Files tagged pictures in a Nextcloud."""
