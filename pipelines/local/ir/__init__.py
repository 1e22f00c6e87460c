"""The compiled pipeline: read, checked, and its conditions, placeholders and values evaluated."""
