"""Tuning: many trainings on the train split, judged on eval or on folds of train, and the best parameters kept."""
