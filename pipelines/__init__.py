"""The graphs, the spec, compiling and submitting them, the local runner and the command line."""
