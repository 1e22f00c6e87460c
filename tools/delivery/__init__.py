"""From sources to a release: compile, push, run on staging, judge, promote, release. `make` calls it (docs/ci.md)."""
