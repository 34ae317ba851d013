"""Files tagged images in a Nextcloud."""
