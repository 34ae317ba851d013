"""Reading and writing image files: what they hold (`probe`), and twice their pixels (`codecs`)."""
