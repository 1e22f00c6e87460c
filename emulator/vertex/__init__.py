"""The REST API of Vertex AI, a module per kind of resource."""
