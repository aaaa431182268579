"""What docs/runbook.md is held to: a cause for every entry, which prints the message that the entry shows."""
