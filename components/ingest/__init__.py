"""Ingestion: a CSV or Parquet file becomes an immutable dataset snapshot in three splits."""
