"""How the platform of each kind is opened: one module per kind, so that a step imports that of its own and no other."""
