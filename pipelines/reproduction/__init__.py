"""Reproduction: a registered model is trained again from its snapshot, and compared bit for bit."""
