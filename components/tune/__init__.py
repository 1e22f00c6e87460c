"""Tuning: the parameters of a kind of model are searched before it is trained, and the test split stays unseen."""
