"""Reasons why an audience is empty or small: facts (data), reading (their sources), checks (judgement)."""
