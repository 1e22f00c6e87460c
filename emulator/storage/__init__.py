"""The JSON API of Cloud Storage."""
