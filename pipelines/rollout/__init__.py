"""Progressive rollouts: a new version gets more of the traffic as evidence comes in, or none."""
