"""What the benchmarks of the reference server share: starting things, driving them, and the peers."""
