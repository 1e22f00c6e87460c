"""Networks for pictures: Keras, on whichever backend it runs."""
