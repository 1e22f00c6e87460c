"""Where models live and are served: one narrow interface, and one folder per platform behind it."""
