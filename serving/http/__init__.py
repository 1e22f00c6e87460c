"""The server's front: HTTP/1.1 on sockets, with every limit on what a client may send and how slowly."""
