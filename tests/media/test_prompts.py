"""Files from outside become sound, or a clear refusal; what has no recording is said."""

from __future__ import annotations

import io
import resource
import shutil
from collections import defaultdict
from pathlib import Path

import av
import numpy as np
import pytest

from media import wav
from media.convert import BadAudio, convert
from media.library import NoSuchPrompt, PromptLibrary, phrases
from media.resampling import resample
from media.sound import Samples, Sound
from media.speech import CannotSpeak, EspeakVoice, PiperVoice, Speaker
from media.tones import ToneShape

TONE = ToneShape((1000,), -10, ())


class Teller:
    """A voice that counts how often it spoke."""

    id = "teller"

    def __init__(self) -> None:
        self.said: list[str] = []

    def speak(self, text: str, language: str) -> Sound:
        self.said.append(f"{language}: {text}")
        return TONE.sound(22050)


def loudest_hz(samples: Samples, rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * rate / len(samples)


def encoded(path: Path, codec: str, rate: int, container: str) -> Path:
    """A second of 1000 Hz in another format."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=stream.frame_size or None)
        frame = av.AudioFrame.from_ndarray(TONE.sound(rate).samples.reshape(1, -1), format="s16", layout="mono")
        frame.rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            for packet in stream.encode(part):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path


@pytest.fixture
def library(tmp_path: Path) -> PromptLibrary:
    return PromptLibrary([tmp_path / "prompts"], tmp_path / "cache", Speaker(Teller(), tmp_path / "said", 1 << 20), 30)


@pytest.mark.parametrize(
    ("codec", "rate", "container", "suffix"),
    [
        ("libmp3lame", 44100, "mp3", "mp3"),
        ("libopus", 48000, "ogg", "opus"),
        ("libopus", 24000, "ogg", "ogg"),
        ("flac", 96000, "flac", "flac"),
        ("pcm_s24le", 22050, "wav", "wav"),
        ("pcm_mulaw", 8000, "wav", "wav"),
    ],
)
def test_any_format_and_rate_becomes_the_houses_own(
    tmp_path: Path, codec: str, rate: int, container: str, suffix: str
) -> None:
    source = encoded(tmp_path / f"in.{suffix}", codec, rate, container)
    for wanted in (8000, 16000):
        convert(source, tmp_path / "out.wav", wanted, 30)
        sound = wav.read(tmp_path / "out.wav")
        assert sound.rate == wanted
        assert sound.seconds == pytest.approx(1.0, abs=0.1)
        assert loudest_hz(sound.samples, wanted) == pytest.approx(1000, abs=5)


def test_a_file_that_is_no_audio_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    bad = {
        "text.wav": b"RIFF, they said, and then nothing\n" * 20,
        "empty.mp3": b"",
        "list.wav": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat.wav": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "no-samples.wav": wav.header(8000, 1, 0),
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadAudio):
            convert(tmp_path / name, tmp_path / "out.wav", 8000, 30)
    with pytest.raises(BadAudio):
        convert(tmp_path / "missing.wav", tmp_path / "out.wav", 8000, 30)
    assert {path.name for path in tmp_path.iterdir()} == set(bad)


def test_a_file_without_end_is_refused_by_its_length(tmp_path: Path) -> None:
    hole = tmp_path / "hole.wav"  # a header that promises four gigabytes, and a quarter of them are there
    with hole.open("wb") as file:
        file.write(wav.header(8000, 1, 0xFFFFFF00))
        file.truncate(1 << 30)
    with pytest.raises(BadAudio, match="longer than 30 s"):
        convert(hole, tmp_path / "out.wav", 8000, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["hole.wav"]


def test_a_file_that_breaks_off_is_heard_up_to_there(tmp_path: Path) -> None:
    whole = encoded(tmp_path / "whole.mp3", "libmp3lame", 44100, "mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) * 2 // 3])
    convert(tmp_path / "cut.mp3", tmp_path / "out.wav", 8000, 30)
    assert 0.3 < wav.read(tmp_path / "out.wav").seconds < 0.9


def test_a_recording_is_found_by_language_and_converted_once(library: PromptLibrary, tmp_path: Path) -> None:
    for tongue in ("en", "de"):
        (tmp_path / "prompts" / tongue).mkdir(parents=True)
    encoded(tmp_path / "prompts/en/welcome.flac", "flac", 44100, "flac")
    for language in ("en", "en-GB", "en_us", "fr"):
        assert library.recording("welcome", language) == tmp_path / "prompts/en/welcome.flac"
    first = library.prompt("welcome", "en-GB", 8000)
    assert loudest_hz(first.samples, 8000) == pytest.approx(1000, abs=5)
    kept = list((tmp_path / "cache").iterdir())
    assert library.prompt("welcome", "en", 8000).samples.tolist() == first.samples.tolist()
    assert list((tmp_path / "cache").iterdir()) == kept
    shutil.copy(tmp_path / "prompts/en/welcome.flac", tmp_path / "prompts/de/welcome.flac")
    assert library.recording("welcome", "de-at") == tmp_path / "prompts/de/welcome.flac"


def test_what_has_no_recording_is_said_and_only_once(library: PromptLibrary) -> None:
    teller = library.speaker.voice
    assert isinstance(teller, Teller)
    sound = library.prompt("whisper-queue", "en-gb", 8000, {"queue": "Support"})
    assert sound.rate == 8000
    library.prompt("whisper-queue", "en-gb", 8000, {"queue": "Support"})
    library.prompt("goodbye", "fr", 16000)
    assert teller.said == ["en-gb: Call from Support.", "en: Goodbye."]


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/../b", "Welcome", "", "a" * 65, "x\0y", "a//b"])
def test_a_name_never_leaves_the_library(library: PromptLibrary, name: str) -> None:
    with pytest.raises(NoSuchPrompt):
        library.prompt(name, "en", 8000)


@pytest.mark.parametrize("language", ["..", "en/../..", "", "e", "en-"])
def test_a_language_never_leaves_the_library(library: PromptLibrary, language: str) -> None:
    with pytest.raises(NoSuchPrompt):
        library.prompt("welcome", language, 8000)


def test_what_nobody_knows_is_no_prompt(library: PromptLibrary) -> None:
    with pytest.raises(NoSuchPrompt, match="no words"):
        library.prompt("unheard-of", "en", 8000)


def test_every_phrase_can_be_said() -> None:
    for name, text in phrases("en").items():
        assert text.format_map(defaultdict(lambda: "some")), name


def test_espeak_says_what_it_is_told() -> None:
    said = EspeakVoice().speak("one two three", "en-us")
    assert 0.7 < said.seconds < 3
    assert said.dbfs > -40
    with pytest.raises(CannotSpeak, match="voice"):
        EspeakVoice().speak("hello", "xx-none")


def test_a_voice_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotSpeak, match="not installed"):
        PiperVoice(tmp_path / "model.onnx", ["no-such-program"]).speak("hello", "en")
    with pytest.raises(CannotSpeak, match="no sound"):
        PiperVoice(tmp_path / "model.onnx", ["true"]).speak("hello", "en")
    with pytest.raises(CannotSpeak, match="exit 1"):
        PiperVoice(tmp_path / "model.onnx", ["false"]).speak("hello", "en")


def test_what_was_said_is_forgotten_when_there_is_no_room(tmp_path: Path) -> None:
    teller = Teller()
    speaker = Speaker(teller, tmp_path, 20_000)  # one second at 8 kHz is 16 kB
    for text in ("one", "two", "two"):
        speaker.say(text, "en", 8000)
    assert len(list(tmp_path.iterdir())) == 1
    assert len(teller.said) == 2


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001])
def test_no_text_and_too_much_text_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CannotSpeak):
        Speaker(Teller(), tmp_path, 1 << 20).say(text, "en", 8000)


@pytest.mark.parametrize(("before", "after"), [(22050, 8000), (8000, 16000), (48000, 16000), (44100, 8000)])
def test_resampling_keeps_a_tone_as_it_is(before: int, after: int) -> None:
    time = np.arange(before * 5) / before
    sound = Sound((10000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16), before)
    other = resample(sound, after)
    assert len(other.samples) == after * 5
    ideal = 10000 * np.sin(2 * np.pi * 1000 * np.arange(after * 5) / after)
    inner = slice(200, -200)
    noise = other.samples[inner] - ideal[inner]
    assert 10 * np.log10(np.mean(ideal**2) / np.mean(noise**2)) > 70


def test_resampling_lets_nothing_through_that_the_rate_cannot_carry() -> None:
    time = np.arange(48000) / 48000
    high = Sound((10000 * np.sin(2 * np.pi * 6000 * time)).astype(np.int16), 48000)
    inner = resample(high, 8000).samples[800:-800]  # it begins and ends with a click, which is wide
    assert not inner.any()


def test_wav_reads_what_others_write() -> None:
    stereo = wav.header(8000, 2, 8) + np.array([100, 300, -4, -6], "<i2").tobytes()
    assert wav.parse(io.BytesIO(stereo)).samples.tolist() == [200, -5]
    extra = stereo[:36] + b"LIST\x03\x00\x00\x00abc\x00" + stereo[36:]
    assert wav.parse(io.BytesIO(extra)).samples.tolist() == [200, -5]
    streamed = stereo[:40] + b"\xff\xff\xff\x7f" + stereo[44:]
    assert wav.parse(io.BytesIO(streamed)).samples.tolist() == [200, -5]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "RIFF"),
        (b"RIFF\0\0\0\0WAVE", "no samples"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "before their format"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0", "cut off"),
        (wav.header(8000, 1, 0)[:34] + b"\x08\0" + wav.header(8000, 1, 0)[36:], "8 bits"),
    ],
)
def test_a_bad_wav_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(wav.BadWav, match=fault):
        wav.parse(io.BytesIO(data))


def test_a_recording_that_a_crash_cut_off_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with wav.WavWriter(tmp_path / "live.wav", 8000, 2) as writer:
        writer.append(np.arange(2000, dtype=np.int16).reshape(-1, 2))
        path.write_bytes((tmp_path / "live.wav").read_bytes() + b"\x01\x02\x03")  # as a kill leaves it, amid a frame
    assert wav.read(path).samples.tolist() == []
    form = wav.repair(path)
    assert (form.rate, form.channels, form.octets) == (8000, 2, 4000)
    assert len(wav.read(path).samples) == 1000
    assert path.stat().st_size == 44 + 4000


@pytest.mark.parametrize("data", [b"RIFF", b"x" * 100])
def test_what_is_no_recording_is_not_repaired(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    with pytest.raises(wav.BadWav):
        wav.repair(path)
    assert path.read_bytes() == data


def test_a_full_disk_leaves_what_was_written_whole(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = wav.WavWriter(tmp_path / "call.wav", 8000, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1003, hard))
    try:
        writer.append(np.ones((200, 2), np.int16))
        with pytest.raises(OSError, match=r"no room"):
            writer.append(np.ones((100, 2), np.int16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.close()
    assert writer.octets == 956  # whole frames of what fits
    assert len(wav.read(tmp_path / "call.wav").samples) == 239


def test_a_checkpoint_makes_the_header_true(tmp_path: Path) -> None:
    writer = wav.WavWriter(tmp_path / "call.wav", 8000)
    writer.append(np.ones(100, np.int16))
    writer.checkpoint()
    assert len(wav.read(tmp_path / "call.wav").samples) == 100
    writer.append(np.ones(50, np.int16))
    writer.close()
    writer.close()
    assert len(wav.read(tmp_path / "call.wav").samples) == 150
