"""What is looked at of a model of images beyond its metrics: which mistakes, why, and under what light."""
