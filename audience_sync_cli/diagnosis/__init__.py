"""Why an audience is empty or small: what is known (facts), where it is read (reading), how it is judged (checks)."""
