"""The state of the stack: counts, metrics, log lines, open circuit breakers, and why changes wait."""
