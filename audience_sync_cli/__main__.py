"""`python -m audience_sync_cli`: the same as `audience-sync`."""

from audience_sync_cli.app import main

main()
