"""Kubeflow: what the platform interface means in its terms."""
