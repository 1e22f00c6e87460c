"""The local platform: models and endpoints in one folder, kept by SQLite."""
