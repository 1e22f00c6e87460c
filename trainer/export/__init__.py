"""From a trained model to a bundle's files, each proven to answer as the model does."""
