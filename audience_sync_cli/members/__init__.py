"""What the membership table knows: one person, whole audiences, an older table."""
