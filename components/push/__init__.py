"""Pushing: a registered version that is proven to serve goes behind an endpoint."""
