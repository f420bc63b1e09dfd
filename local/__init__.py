"""The whole pipeline on one machine: `python -m local`. Never shipped to Lambda."""
