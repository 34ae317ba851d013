"""What every store has to keep, and a store in memory that keeps it."""
