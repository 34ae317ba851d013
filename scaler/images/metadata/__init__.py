"""Metadata that states sizes in pixels: EXIF blocks and XMP packets, and the table of such fields."""
