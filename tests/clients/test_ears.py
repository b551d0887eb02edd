"""The ears themselves: what they hear is what was played."""

import numpy as np
import pytest

from tests.clients import ears
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


def test_a_sound_is_understood_where_its_parts_fit_together() -> None:
    rng = np.random.default_rng(7)
    word, rest, other = (rng.normal(0, 3000, 4000).astype(np.int16) for _ in range(3))
    sentence = np.concatenate([word, rest, word])  # a word comes twice
    gap = np.zeros(5000, np.int16)
    assert ears.understood(sentence, np.concatenate([gap, other, sentence, gap])) == 1.0
    assert ears.understood(sentence, np.concatenate([sentence, gap])) == 1.0
    lost = np.concatenate([gap, word[:3000], word[3160:], rest, word])  # 20 ms of one chunk are missing
    assert 0.8 < ears.understood(sentence, lost) < 1.0
    assert ears.understood(sentence, np.concatenate([other, gap, rest[::-1]])) == 0.0
    assert ears.understood(sentence, np.concatenate([word, gap, gap, other])) < 0.5


def test_the_longest_stretch_of_a_tone() -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 3000, 8000).astype(np.int16)
    beep = tone(1000, 0.3)
    assert 260 < ears.longest_tone_ms(np.concatenate([noise, beep, noise]), 1000) < 340
    assert ears.longest_tone_ms(noise, 1000) < 40
