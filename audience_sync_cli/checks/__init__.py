"""Whether the stack and its audiences are well, and if not, why: `audience-sync status`, `test` and `diagnose`."""
