"""The protocols that the server speaks: each gives its routes, and the form of its requests and answers."""
