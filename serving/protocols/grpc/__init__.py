"""The Open Inference Protocol, version 2, over gRPC."""

import os

# What strangers do at the port, such as a handshake that fails, is no matter for the server's log.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
