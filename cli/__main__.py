"""`python -m cli`: the same as `audience-sync`."""

from cli.app import main

main()
