"""Settings: where they are stored, and how they are validated."""
