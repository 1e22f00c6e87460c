"""Data versions: snapshots named by their digest; found, shown, compared, checked out, verified."""
