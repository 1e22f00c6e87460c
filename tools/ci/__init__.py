"""The files of continuous integration: read, checked, and run on this machine. `make ci-check`, `make ci-local`."""
