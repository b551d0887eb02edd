"""The modems' face: tones in front of a fax, T.38 packets that mean nothing, and many channels in one call."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.fax import FaxOptions
from media.spandsp import FRAME, Channel, ChannelKind, Completion, Ear, ModemEventKind, Tone, completion_text, step
from tests.media import documents
from tests.media.voices import VOICES, speech


def listen(channel: Channel, seconds: float) -> dict[Tone, float]:
    """When each tone that this channel says was found."""
    ear, found = Ear(), dict[Tone, float]()
    for number in range(round(seconds * 50)):
        step([channel])
        for tone in ear.hear(channel.said):
            found.setdefault(tone, (number + 1) * 0.02)
    return found


def test_who_calls_is_heard_by_cng_and_who_answers_by_ced(tmp_path: Path) -> None:
    document = documents.write(tmp_path / "one.tif", documents.pages(1))
    caller = Channel(ChannelKind.AUDIO, FaxOptions(), calling=True, send=document)
    found = listen(caller, 5)
    assert set(found) == {Tone.CNG}
    assert found[Tone.CNG] < 2.0
    answerer = Channel(ChannelKind.AUDIO, FaxOptions(), calling=False, receive=tmp_path / "in.tif")
    found = listen(answerer, 5)
    assert set(found) == {Tone.CED}
    assert found[Tone.CED] < 1.5
    caller.close()
    answerer.close()


@pytest.mark.parametrize("voice", VOICES)
def test_nobody_is_taken_for_a_fax(voice: str) -> None:
    assert Ear().hear(speech(voice, 20.0).tobytes()) == Tone(0)


def test_noise_and_silence_are_no_fax() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 8000 * 20).clip(-32768, 32767).astype(np.int16)
    assert Ear().hear(noise.tobytes()) == Tone(0)
    assert Ear().hear(bytes(2 * 8000 * 5)) == Tone(0)


ifp_packets = st.one_of(
    st.binary(max_size=60),
    st.tuples(st.integers(0, 127), st.binary(max_size=40)).map(lambda made: bytes((made[0],)) + made[1]),
    st.tuples(st.integers(0xC0, 0xFF), st.integers(0, 4), st.binary(max_size=60)).map(
        lambda made: bytes((made[0], made[1])) + made[2]
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([ChannelKind.T38, ChannelKind.GATEWAY]), st.lists(ifp_packets, max_size=30))
def test_t38_packets_that_mean_nothing_do_no_harm(kind: ChannelKind, packets: list[bytes]) -> None:
    channel = Channel(kind, FaxOptions(), calling=False)
    for number, packet in enumerate(packets):
        channel.take(number, packet)
        step([channel])
    assert len(channel.said) in {0, 2 * FRAME}
    channel.close()
    channel.close()


def test_sound_that_means_nothing_does_no_harm(tmp_path: Path) -> None:
    chance = random.Random(5)
    channel = Channel(ChannelKind.AUDIO, FaxOptions(), calling=False, receive=tmp_path / "in.tif")
    for _ in range(500):
        channel.hear(chance.randbytes(2 * FRAME))
        step([channel])
    channel.hear(bytes(1 << 20))
    step([channel])
    channel.terminate()
    assert channel.events[-1].kind is ModemEventKind.ENDED
    assert channel.events[-1].completion is Completion.CALL_DROPPED
    assert completion_text(Completion.CALL_DROPPED) == "The call dropped prematurely"
    channel.close()


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long for a fax"):
        Channel(ChannelKind.AUDIO, FaxOptions(), calling=False, receive=tmp_path / ("x" * 1100))


def test_others_run_while_the_modems_work() -> None:
    """60 channels hear a second of noise in each step: no lock is held meanwhile."""
    channels = [Channel(ChannelKind.AUDIO, FaxOptions(), calling=False) for _ in range(60)]
    noise = np.random.default_rng(1).normal(0, 3000, 10 * FRAME).astype(np.int16).tobytes()
    steps: list[tuple[float, float]] = []
    done = threading.Event()

    def work() -> None:
        for _ in range(20):
            for channel in channels:
                channel.hear(noise)
            began = time.perf_counter()
            step(channels)
            steps.append((began, time.perf_counter()))
        done.set()

    thread = threading.Thread(target=work)
    ticks = []
    thread.start()
    while not done.is_set():
        ticks.append(time.perf_counter())
        done.wait(0.0005)
    thread.join()
    assert sum(any(began < tick < ended for began, ended in steps) for tick in ticks) > len(ticks) / 4
    for channel in channels:
        channel.close()
