"""What stands beside the pixels and states their number: EXIF blocks and XMP packets, and the table of such fields."""
