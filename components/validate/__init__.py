"""The statistics held against the curated schema; a run that does not fit stops here."""
