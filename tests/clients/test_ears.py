"""The ears themselves: what they hear is what was played."""

import numpy as np
import pytest

from tests.clients.ears import delay_ms, level_dbfs, listen, onset_ms
from tests.clients.sound import ALAW, LAWS, ULAW, silence, tone


@pytest.mark.parametrize("dbfs", [-3.0, -15.0, -30.0])
def test_a_tone_is_heard_at_its_level(dbfs: float) -> None:
    heard = listen(tone(450, 1.0, dbfs=dbfs), 450)
    assert heard.present == 1.0
    assert heard.longest_gap_ms == 0
    assert heard.dbfs == pytest.approx(dbfs, abs=0.1)
    assert heard.purity > 0.99


def test_another_tone_is_not_heard() -> None:
    heard = listen(tone(850, 1.0), 450)
    assert heard.present == 0
    assert heard.longest_gap_ms == 1000


def test_two_tones_are_told_apart_and_spoil_each_others_purity() -> None:
    both = tone(450, 1.0) + tone(850, 1.0, dbfs=-21)
    heard = listen(both, 450)
    assert heard.present == 1.0
    assert heard.purity == pytest.approx(0.8, abs=0.02)
    assert listen(both, 850).dbfs == -np.inf  # too little beside the other


@pytest.mark.parametrize("gap_ms", [20, 40, 60, 100, 500])
def test_a_gap_is_measured(gap_ms: int) -> None:
    sound = tone(450, 1.0)
    sound[4000 : 4000 + 8 * gap_ms] = 0
    assert listen(sound, 450).longest_gap_ms == pytest.approx(gap_ms, abs=5)


def test_silence_at_either_end_is_a_gap() -> None:
    assert listen(np.concatenate([silence(0.2), tone(450, 0.8)]), 450).longest_gap_ms == pytest.approx(200, abs=10)
    assert listen(np.concatenate([tone(450, 0.8), silence(0.2)]), 450).longest_gap_ms == pytest.approx(200, abs=10)


def test_nothing_is_heard_in_nothing() -> None:
    assert listen(silence(0), 450).present == 0
    assert level_dbfs(silence(0)) == -np.inf
    assert level_dbfs(silence(1)) == -np.inf
    assert onset_ms(silence(1), 450) is None


def test_the_begin_of_a_tone() -> None:
    assert onset_ms(np.concatenate([silence(0.3), tone(450, 0.5)]), 450) == pytest.approx(290, abs=10)


def test_the_delay_of_noise() -> None:
    noise = np.random.default_rng(1).integers(-8000, 8000, 4000).astype(np.int16)
    assert delay_ms(noise, np.concatenate([silence(0.037), noise])) == pytest.approx(37, abs=0.2)


@pytest.mark.parametrize("law", [ULAW, ALAW])
def test_companding_comes_back(law: object) -> None:
    assert law in LAWS.values()
    for payload_type, companding in LAWS.items():
        every = bytes(range(256))
        decoded = companding.decode(every)
        again = companding.decode(companding.encode(decoded))
        assert (again == decoded).all(), payload_type


def test_known_values_of_g711() -> None:
    """ITU-T G.711 tables 1 and 2: the ends and the middle of each law."""
    assert ULAW.decode(b"\x00\x80\xff\x7f").tolist() == [-32124, 32124, 0, 0]
    assert ALAW.decode(b"\x2a\xaa\xd5\x55").tolist() == [-32256, 32256, 8, -8]
    heard = listen(ULAW.decode(ULAW.encode(tone(450, 1.0))), 450)
    assert heard.purity > 0.999
