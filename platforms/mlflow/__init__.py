"""MLflow's Model Registry as a platform. (The tracker of runs is in `platforms/local/tracking`.)"""
