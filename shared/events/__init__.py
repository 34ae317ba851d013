"""What happened: one record for each thing, kept for the status page and the metrics."""
