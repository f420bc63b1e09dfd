"""How a command runs and speaks: command line, session, screen, errors, times. Knows no subject."""
