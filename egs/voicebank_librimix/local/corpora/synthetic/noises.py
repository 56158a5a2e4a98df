"""Synthetic noise environments that differ in kind: one function per environment.

Each takes a random generator, a length in samples and a rate in Hz, and gives a float array of that length
at any level; `recording` brings them to a common level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy

# What the background talkers of babble and of speech-shaped noise say.
SMALL_TALK = (
    "did you see where they left the other keys this morning",
    "I would rather take the later train and walk from there",
    "she said that nobody had ever asked her about it before",
    "the soup was cold but the bread was fresh and very good",
    "we should paint the kitchen before my parents come to visit",
    "his brother works in a garage somewhere near the river",
    "it rained all week and then the weather changed at once",
    "they are going to close the library on Saturday afternoon",
)


def _shaped(rng: np.random.Generator, size: int, rate: int, gain: Callable[[np.ndarray], np.ndarray]):
    """Gaussian noise with a given amplitude response over frequency in Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    return np.fft.irfft(spectrum * gain(np.fft.rfftfreq(size, 1 / rate)), size)


def _slow(rng: np.random.Generator, size: int, rate: int, *, hertz: float) -> np.ndarray:
    """A smooth random curve of unit variance that moves about `hertz` times per second."""
    knots = rng.standard_normal(int(size / rate * hertz) + 4)
    knots -= knots.mean()
    curve = np.interp(np.arange(size) * hertz / rate, np.arange(len(knots)), knots)
    return curve / (curve.std() + 1e-9)


def _harmonics(phase: np.ndarray, amplitudes: Sequence[float]) -> np.ndarray:
    """Sum of sines at multiples of a phase given in cycles."""
    sines = (a * np.sin(2 * np.pi * k * phase) for k, a in enumerate(amplitudes, start=1))
    return sum(sines, start=np.zeros(1))


def _events(
    rng: np.random.Generator, size: int, rate: int, *, per_second: float, sound: Callable[[], np.ndarray]
) -> np.ndarray:
    """Short sounds at random moments with random strengths."""
    total = np.zeros(size)
    for start in rng.integers(0, size, rng.poisson(per_second * size / rate)):
        piece = sound()[: size - start]
        total[start : start + len(piece)] += rng.lognormal(0, 0.5) * piece
    return total


def pink(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Steady noise with equal power per octave."""
    return _shaped(rng, size, rate, lambda hertz: 1 / np.sqrt(np.maximum(hertz, 20)))


def wind(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Low rumble in gusts, with a whistling part that follows them."""
    rumble = _shaped(rng, size, rate, lambda hertz: 1 / np.maximum(hertz, 60))
    whistle = _shaped(rng, size, rate, lambda hertz: np.exp(-(((hertz - 700) / 400) ** 2)))
    gusts = np.exp(0.7 * _slow(rng, size, rate, hertz=1.5))
    return gusts * rumble / rumble.std() + 0.5 * gusts**2 * whistle / whistle.std()


def hum(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Mains hum with many harmonics, wavering slowly, over the hiss of a machine."""
    phase = np.arange(size) * 50.0 / rate + rng.random()
    tones = _harmonics(phase, [rng.uniform(0.5, 1) / k**0.6 for k in range(1, 61)])
    hiss = _shaped(rng, size, rate, lambda hertz: 1 / (1 + hertz / 2000))
    waver = 1 + 0.2 * _slow(rng, size, rate, hertz=0.5)
    return waver * tones / tones.std() + 0.4 * hiss / hiss.std()


def engine(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Combustion pulses at a wandering speed, with broadband noise in their rhythm."""
    speed = 38 * np.exp(0.15 * _slow(rng, size, rate, hertz=0.6))
    phase = np.cumsum(speed) / rate
    strokes = _harmonics(phase, [1 / k**0.5 for k in range(1, 41)])
    noise = _shaped(rng, size, rate, lambda hertz: 1 / (1 + (hertz / 1200) ** 1.5))
    beat = 1 + 0.8 * np.sin(2 * np.pi * phase)
    return strokes / strokes.std() + 0.8 * beat * noise / noise.std()


def clicks(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Keys and relays: short decaying bursts in clusters, over a faint hiss."""
    time = np.arange(int(0.06 * rate)) / rate

    def click() -> np.ndarray:
        decay = np.exp(-time / rng.uniform(0.004, 0.015))
        ring = np.sin(2 * np.pi * rng.uniform(800, 5000) * time)
        return decay * (rng.standard_normal(len(time)) + ring)

    bursts = _events(rng, size, rate, per_second=14, sound=click)
    return np.tanh(bursts) + 0.02 * rng.standard_normal(size)


def music(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Plucked notes of a pentatonic scale over a bass, several at a time."""
    scale = 220 * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16, 19, 21]) / 12)
    time = np.arange(int(0.8 * rate)) / rate

    def note(pitch: float) -> np.ndarray:
        tone = _harmonics(time * pitch, [1 / k for k in range(1, 9)])
        return tone * np.exp(-time * 4) * np.minimum(1, time * 200)

    melody = _events(rng, size, rate, per_second=6, sound=lambda: note(rng.choice(scale)))
    bass = _events(rng, size, rate, per_second=2, sound=lambda: note(rng.choice(scale[:5]) / 2))
    return melody + bass


def rain(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Dense drops over a bright hiss."""
    time = np.arange(int(0.008 * rate)) / rate

    def drop() -> np.ndarray:
        chirp = np.sin(2 * np.pi * (rng.uniform(1500, 6000) * time + 1e5 * time**2))
        return chirp * np.exp(-time * 600)

    drops = _events(rng, size, rate, per_second=150, sound=drop)
    hiss = _shaped(rng, size, rate, lambda hertz: hertz / (hertz + 1500))
    return drops / drops.std() + 0.7 * hiss / hiss.std()


def saw(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """A motor saw: a rough buzz that drops in pitch under load, in strokes."""
    load = np.clip(_slow(rng, size, rate, hertz=2.0), 0, None)
    phase = np.cumsum(115 * (1 - 0.12 * load)) / rate
    buzz = scipy.signal.sawtooth(2 * np.pi * phase)
    grit = _shaped(rng, size, rate, lambda hertz: np.exp(-(((hertz - 3000) / 1800) ** 2)))
    return (0.5 + load) * (buzz / buzz.std() + 0.9 * grit / grit.std())


def siren(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """A siren that sweeps up and down through the range of speech, with street noise below it."""
    sweep = scipy.signal.sawtooth(2 * np.pi * np.arange(size) * 0.9 / rate + rng.uniform(0, 6), width=0.5)
    phase = np.cumsum(850 * 2 ** (0.7 * sweep)) / rate
    tone = _harmonics(phase, [1.0, 0.6, 0.4, 0.25, 0.15])
    street = _shaped(rng, size, rate, lambda hertz: 1 / (1 + hertz / 500))
    return tone / tone.std() + 0.7 * street / street.std()


def applause(rng: np.random.Generator, size: int, rate: int) -> np.ndarray:
    """Many hands: bursts of colored noise, denser and thinner by turns."""
    time = np.arange(int(0.03 * rate)) / rate

    def clap() -> np.ndarray:
        body = rng.standard_normal(len(time)) * np.sin(2 * np.pi * rng.uniform(700, 2200) * time)
        return body * np.exp(-time / 0.006)

    crowd = _events(rng, size, rate, per_second=90, sound=clap)
    return crowd * (1 + 0.4 * np.clip(_slow(rng, size, rate, hertz=0.7), -2, 2))


def babble(talkers: Sequence[np.ndarray], rng: np.random.Generator, size: int) -> np.ndarray:
    """Many voices at once, each started at a random point of its speech and repeated.

    Args:
        talkers: Continuous speech of each voice at the wanted rate, each of shape (samples,).
        rng: Where the starting points come from.
        size: Wanted length in samples.

    Returns:
        Shape (size,).
    """
    total = np.zeros(size)
    for speech in talkers:
        start = rng.integers(len(speech))
        total += np.resize(np.roll(speech / speech.std(), -start), size)
    return total


def speech_shaped(talkers: Sequence[np.ndarray], rng: np.random.Generator, size: int) -> np.ndarray:
    """Steady noise with the average spectrum of speech.

    Args:
        talkers: Speech, each of shape (samples,).
        rng: Where the noise comes from.
        size: Wanted length in samples.

    Returns:
        Shape (size,).
    """
    _, power = scipy.signal.welch(np.concatenate([speech / speech.std() for speech in talkers]), nperseg=2048)
    filtered = scipy.signal.firwin2(2049, np.linspace(0, 1, len(power)), np.sqrt(power / power.max()))
    return scipy.signal.fftconvolve(rng.standard_normal(size + 2048), filtered, mode="valid")


SEEN = ("babble", "clicks", "engine", "hum", "music", "pink", "ssn", "wind")
UNSEEN = ("applause", "rain", "saw", "siren")
_FROM_NOTHING = {
    "clicks": clicks,
    "engine": engine,
    "hum": hum,
    "music": music,
    "pink": pink,
    "wind": wind,
    "applause": applause,
    "rain": rain,
    "saw": saw,
    "siren": siren,
}
_FROM_SPEECH = {"babble": babble, "ssn": speech_shaped}


def _microphone(noise: np.ndarray, rate: int) -> np.ndarray:
    """Take away what lies below and above speech, where noise would count towards the SNR without harm."""
    spectrum = np.fft.rfft(noise)
    hertz = np.fft.rfftfreq(len(noise), 1 / rate)
    spectrum *= 1 / (1 + (100 / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / 5500) ** 8)
    return np.fft.irfft(spectrum, len(noise))


def recording(environment: str, *, talkers: Sequence[np.ndarray], size: int, rate: int, seed: int) -> np.ndarray:
    """Make the recording of one environment.

    Args:
        environment: One of SEEN or UNSEEN.
        talkers: Background speech at `rate`, for babble and speech-shaped noise.
        size: Length in samples.
        rate: In Hz.
        seed: The same seed gives the same recording.

    Returns:
        float32 of shape (size,), root mean square 0.05, peaks bent below ten times that.

    Example:
        >>> noise = recording("pink", talkers=[], size=8000, rate=16000, seed=3)
        >>> noise.shape, round(float(noise.std()), 3)
        ((8000,), 0.05)
    """
    # The place in the list, not hash(), which differs from process to process.
    rng = np.random.default_rng([seed, (SEEN + UNSEEN).index(environment)])
    if environment in _FROM_SPEECH:
        noise = _FROM_SPEECH[environment](talkers, rng, size)
    else:
        noise = _FROM_NOTHING[environment](rng, size, rate)
    noise = _microphone(noise, rate)
    # Peaks are bent at eight times the level, so that mixtures at low SNR need no clipping.
    limit = 8 * noise.std()
    noise = limit * np.tanh(noise / limit)
    return (noise * 0.05 / noise.std()).astype(np.float32)
