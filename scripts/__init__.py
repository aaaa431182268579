"""What `make` runs: packaging, and the shell scripts beside it."""
