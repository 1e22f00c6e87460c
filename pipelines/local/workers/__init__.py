"""Tasks as processes: budgets, warm workers, forks, and how each came to its end."""
