"""How the words of a command line are read, and how help is printed."""
