"""The state of the stack: counts, log lines, open circuit breakers, and why changes wait."""
