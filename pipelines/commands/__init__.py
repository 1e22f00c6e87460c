"""The subcommands of `headrace`, a module each; a module's `command` is what the command line calls."""
