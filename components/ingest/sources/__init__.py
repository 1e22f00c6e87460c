"""One module per kind of source: each opens what a spec names as streams of Arrow batches."""
