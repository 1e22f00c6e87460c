"""The model that a stream's messages are answered by: what a name means, from one moment to the next."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from headrace.artifacts.errors import HeadraceError
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.streaming.answers import Answers
from headrace.serving.streaming.counted import Counted
from headrace.serving.swap import LOAD_SECONDS, Follower
from headrace.serving.target import POLL_SECONDS, Target, changed_inputs, titled
from headrace.serving.verify import verify_samples


class Model:
    """Answers messages. Another version takes over between two batches, once it was tried in a process of its own."""

    def __init__(
        self,
        target: Target,
        counted: Counted,
        follow: Callable[[], Target] | None = None,
        keep: Sequence[str] = (),
        ignore_others: bool = False,
    ) -> None:
        """Loads the model, and has it answer its samples.

        Args:
            target: the model to begin with.
            counted: what is told of the model that answers.
            follow: says what is to answer now; None: the same for ever.
            keep: see `Answers`.
            ignore_others: see `Answers`.

        Raises:
            HeadraceError: it is damaged, cannot be loaded, or answers otherwise than the model that was trained.
        """
        self._keep, self._ignore_others, self._counted = keep, ignore_others, counted
        self._next: Answers | None = None
        self.answers = self._load(target)
        self._tell()
        if follow:
            follower = Follower(follow, target)
            threading.Thread(target=self._watch, args=(follower,), daemon=True, name="follow-model").start()

    def current(self) -> Answers:
        """What answers the next batch."""
        if self._next is not None:
            before, self.answers, self._next = self.answers, self._next, None
            old, new = before.served.bundle, self.answers.served.bundle
            other = changed_inputs(old, new)
            told = f"now answering with {titled(new)}{f'; expects messages {other}' if other else ''}"
            print(f"headrace: {told}", file=sys.stderr, flush=True)
            self._tell()
        return self.answers

    def _tell(self) -> None:
        served = self.answers.served
        self._counted.serves(served.name, served.version, served.digest)

    def _load(self, target: Target, verify: bool = True) -> Answers:
        served = Served(target.open(verify=verify), Settings())
        checked = verify_samples(served.scorer, served.bundle, requests=0)
        if not checked.passed:
            told = f"{len(checked.mismatches)} others; {checked.mismatches[0]}"
            expected = f"expected the answers to its {checked.samples} samples"
            raise HeadraceError(f"{titled(served.bundle)}: {expected}. Received: {told}")
        return Answers(served, self._keep, self._ignore_others)

    def _watch(self, follower: Follower[Target]) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self._look(follower)

    def _look(self, follower: Follower[Target]) -> None:
        target = follower.wanted()
        if target is None:
            self._counted.refused = follower.refused
            return
        try:
            tried(target)
            self._next = self._load(target, verify=False)
        except Exception as error:  # noqa: BLE001 (whatever a model does when it is loaded is its refusal)
            follower.failed(target)
            self._counted.refused = True
            reason = str(error).rstrip(".")
            served = titled(self.answers.served.bundle)
            print(f"headrace: {target} is not taken up: {reason}. {served} goes on", file=sys.stderr, flush=True)
            return
        follower.succeeded(target)


def tried(target: Target, seconds: float = LOAD_SECONDS) -> None:
    """Loads a model in another process, and has it answer its samples there.

    This process has threads, of the clients of its places, and may not fork.

    Raises:
        HeadraceError: it cannot be loaded, in time; or the process ended otherwise than it should.
    """
    command = [sys.executable, "-m", __name__, str(target.path), *([target.version] if target.version else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise HeadraceError(f"expected it to load the model. Received: nothing for {seconds:g} seconds") from None
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ")
        expected = "expected it to load the model. Received: the end of the process that tried, with status"
        raise HeadraceError(said if done.returncode == 1 and said else f"{expected} {done.returncode}")


def _main(words: Sequence[str]) -> int:
    from pathlib import Path

    try:
        Model(Target(Path(words[0]), words[1] if len(words) > 1 else None), Counted())
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


Current = Callable[[], Answers]

if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
