"""The ledger of the suite: every story that was told and how it ended, one printed line each."""

import contextlib
import json
import traceback


class Unmet(Exception):
    """A story did not go as told; the message says what came instead."""


def expect(condition, what, seen):
    """Ends the story with `what` and the thing seen, unless the condition holds."""
    if not condition:
        raise Unmet(f"{what}; seen: {_shown(seen)}")


def _shown(seen):
    text = seen if isinstance(seen, str) else json.dumps(seen, default=str, ensure_ascii=False)
    return text if len(text) <= 1500 else text[:1500] + " ..."


class Stories:
    """Counts and prints stories. One that fails does not stop the next."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextlib.contextmanager
    def tell(self, who, story):
        """Runs the body as one story of the client called `who`."""
        try:
            yield
        except Unmet as unmet:
            self._failed(who, story, str(unmet))
        except Exception:
            self._failed(who, story, traceback.format_exc().strip())
        else:
            self.passed += 1
            print(f"ok    {who}: {story}", flush=True)

    @contextlib.contextmanager
    def watch(self, who, what):
        """Runs a whole set of stories; only what breaks outside of them counts, as one failure."""
        try:
            yield
        except Exception:
            self._failed(who, what, traceback.format_exc().strip())

    def note(self, what):
        """Prints what was measured on the way."""
        print(f"      {what}", flush=True)

    def _failed(self, who, story, reason):
        self.failed += 1
        indented = reason.replace("\n", "\n        ")
        print(f"FAIL  {who}: {story}\n        {indented}", flush=True)

    def closing_line(self):
        """The last line of a run, in the form that test summaries are read in."""
        return f"{self.passed} passed, {self.failed} failed"
