"""The prediction server, its client, and in-process scoring of the same bundle."""
