"""pbxd with company, for what cannot be measured from outside.

    python -m tests.bench.launcher run FILE ...             a thread that forces garbage collections when told to
    python -m tests.bench.launcher --profile OUT run ...    under cProfile; OUT is written at the end

On the standard input "collect" begins a loop of full collections over a heap of litter, "rest" ends it; each is
answered with a line.
"""

from __future__ import annotations

import cProfile
import gc
import os
import sys
import threading
import time

from pbxd.__main__ import main

LITTER = 200_000  # objects that each collection has to look at, beside pbxd's own
PAUSE_S = 0.02


def collect(until: threading.Event) -> None:
    while not until.wait(PAUSE_S):
        litter = [[number] for number in range(LITTER)]  # made anew: what is there at the start is frozen
        gc.collect()
        litter.clear()


def obey() -> None:
    """Does what the standard input says, until it ends."""
    rest, collecting = threading.Event(), None
    while word := os.read(sys.stdin.fileno(), 64).strip():  # nothing buffered: the process may end under it
        if word == b"collect":
            rest.clear()
            collecting = threading.Thread(target=collect, args=(rest,), daemon=True)
            collecting.start()
        elif collecting is not None:
            rest.set()
            collecting.join()
        print(word.decode(), flush=True)


def profiled(path: str) -> int:
    """Profile the event loop's thread over its whole life, by CPU time."""
    profile = cProfile.Profile(time.thread_time)
    try:
        return profile.runcall(main)
    finally:
        profile.dump_stats(path)


if __name__ == "__main__":
    if sys.argv[1] == "--profile":
        target = sys.argv[2]
        del sys.argv[1:3]
        sys.exit(profiled(target))
    threading.Thread(target=obey, daemon=True).start()
    sys.exit(main())
