"""Champion: the version that serves now, fetched from the registry to be compared with."""
