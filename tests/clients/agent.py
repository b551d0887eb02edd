"""The inner side of a phone's process: JSON commands arrive on stdin, JSON events leave on the original stdout.

Whatever the phone's library prints goes to stderr, which the test keeps as the phone's log.
"""

import json
import os
import queue
import sys
import threading
from typing import Any

from tests.clients.line import Kind, Line, Verb

Command = dict[str, Any]


class Agent:
    """The pipe between one phone library and the test that drives it."""

    def __init__(self) -> None:
        self.line = Line.from_json(sys.argv[1])
        self._events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()
        self.commands: queue.Queue[Command] = queue.Queue()
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        for text in sys.stdin:
            self.commands.put(json.loads(text))
        self.commands.put({"verb": Verb.QUIT})

    def emit(self, kind: Kind, **fields: object) -> None:
        """Tell the test; callable from any thread."""
        with self._lock:
            self._events.write(json.dumps({"kind": kind, **fields}) + "\n")
            self._events.flush()

    def recording(self, call: int, path: str, *, header_bytes: int = 0) -> None:
        """Tell the test where the sound of `call` is written as it is heard: 16-bit samples at 8 kHz."""
        self.emit(Kind.RECORDING, call=call, path=path, header_bytes=header_bytes)

    def leave(self) -> None:
        """End the process at once, skipping the destructors that C libraries trip over."""
        self._events.flush()
        sys.stderr.flush()
        os._exit(0)
