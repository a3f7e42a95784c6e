"""Translation between HTTP and the broker, and nothing else."""
