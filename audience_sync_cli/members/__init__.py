"""Rows of the membership table: one person, whole audiences, an older table."""
