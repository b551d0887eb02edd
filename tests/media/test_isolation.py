"""Nothing the interpreter does is audible: packets flow while it collects garbage."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time

from media.session import Media
from tests.media.speaker import Speaker

PACKETS = 150
LITTER = 600_000  # objects; a full collection of them takes far longer than a packet may wait


def test_a_collection_does_not_hold_up_a_packet(media: Media) -> None:
    speaker = Speaker()
    plan, port = speaker.plan(), speaker.address[1]
    speaker.close()
    session = media.open("127.0.0.1")
    session.apply(plan)
    session.echo()
    command = [sys.executable, "-m", "tests.media.metronome", str(port), str(session.local[1]), str(PACKETS)]
    litter = [[number] for number in range(LITTER)]
    pauses = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as phone:
        while phone.poll() is None:
            before = time.perf_counter()
            gc.collect()
            pauses.append(time.perf_counter() - before)
        assert phone.stdout is not None
        heard = json.loads(phone.stdout.read())
    assert len(litter) == LITTER
    assert heard["heard"] == PACKETS
    assert session.statistics().numbers.lost == 0
    typical_pause = sorted(pauses)[len(pauses) // 2]
    assert heard["p50"] < typical_pause / 4
    assert heard["p90"] < typical_pause
