"""Scoring of whole columns: the server's answers, for Arrow tables of any length."""
