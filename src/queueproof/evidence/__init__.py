"""What happened: operations, the history they are kept in, latencies and the run directory."""
