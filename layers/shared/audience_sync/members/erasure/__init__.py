"""A person's erasure: its steps and plan, the look that decides whether Amazon is asked, and the judgement. Pure."""
