"""A foreign client in a child process: one JSON line per call on its input, one per answer back."""

import json
import queue
import subprocess
import threading

CALL_SECONDS_MAX = 20
STOP_SECONDS_MAX = 5

# Answers carry this mark, since some packages print to standard output on their own.
MARK = ">> "


class DriverFailed(Exception):
    """The driver itself broke: it died, stayed silent, or raised what no client should raise."""


class Driver:
    """A context manager around one driver; `can` lists the calls that its client offers."""

    def __init__(self, command, environment, hello):
        self._command = command
        self._environment = environment
        self._hello = hello

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, env=self._environment, text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self._answers = queue.Queue()
        self._errors = []
        threading.Thread(target=self._read_answers, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()
        try:
            self.can = self._exchange(self._hello)["can"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._process.stdin.close()
            self._process.wait(STOP_SECONDS_MAX)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def _read_answers(self):
        for line in self._process.stdout:
            if line.startswith(MARK):
                self._answers.put(json.loads(line[len(MARK):]))
        self._answers.put(None)

    def _read_errors(self):
        for line in self._process.stderr:
            self._errors.append(line)

    def _exchange(self, message):
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=CALL_SECONDS_MAX)
        except (OSError, ValueError, queue.Empty):
            answer = None
        if answer is None:
            # A late answer would be taken for the next call's, so this driver is done.
            self._process.kill()
            said = "".join(self._errors)[-3000:]
            raise DriverFailed(f"no answer to {json.dumps(message)}; it said:\n{said}")
        return answer

    def call(self, name, **arguments):
        """Makes one call of the client and returns what the client returned."""
        answer = self._exchange({"call": name, "with": arguments})
        if "raised" in answer:
            raise DriverFailed(f"{name} {json.dumps(arguments)} raised:\n{answer['raised']}")
        return answer["returned"]
