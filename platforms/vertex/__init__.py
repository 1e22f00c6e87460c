"""The Vertex AI platform."""
