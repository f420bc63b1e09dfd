"""A person's erasure: its plan, the review that decides whether Amazon is asked, and its status. Pure."""
