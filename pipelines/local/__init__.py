"""The local runner: executes a compiled pipeline (KFP's IR, not its Python) in warm, forked workers."""
