"""What Dataflow workers and Vertex custom jobs install; the metadata lives in pyproject.toml."""

from setuptools import setup

setup()
