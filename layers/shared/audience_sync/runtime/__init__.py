"""The environment of a function: settings, logs, metrics, HTTP and the Amazon login. For handlers only."""
