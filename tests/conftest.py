"""What all tests need of the process they run in."""

import signal

from hypothesis import settings

# Started in the background by a shell without job control (`make test &`, some CI), a process ignores SIGINT, and so do
# its children: tests that press Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, however slow the machine: what fails here fails for whoever looks at it.
# `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("headrace", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("headrace")
