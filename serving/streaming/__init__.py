"""Predictions of messages: from a stream, a queue or a file to another."""
