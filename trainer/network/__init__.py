"""The Keras network for tables: its inputs' scales, layers, training and graph. Imported only where used."""
