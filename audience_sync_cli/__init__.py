"""The operator's command, `audience-sync`. Never shipped to Lambda."""
