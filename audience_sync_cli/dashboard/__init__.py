"""The dashboard: one page, for deployed and local stacks."""
