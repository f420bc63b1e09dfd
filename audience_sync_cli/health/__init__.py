"""Whether the stack is well: `audience-sync status` and `test`."""
