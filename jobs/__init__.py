"""One spark-submit entry point per step of the chain: read, build, write."""
