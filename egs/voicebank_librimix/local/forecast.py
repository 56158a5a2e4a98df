"""What stages 1 and 2 would fetch and make for a preset: sizes, licences, disk needed at the peak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.acquire import local_archive, missing_archives
from local.corpora import Corpora
from local.download import human
from local.librimix_generator import components

# Size of FLAC relative to 16-bit samples, for clean and noisy speech alike.
_FLAC = 0.6
_PCM_HOUR = 3600 * 16000 * 2
# Average length of a sentence of the embedded corpus and of a string of digits, in seconds.
_SECONDS = {"mini": 2.45, "digits": 2.85}


def _hours(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """About how long a set is; 0 where nobody knows before it is read."""
    kind = spec["corpus"]
    if corpora.synthetic or kind == "digits":
        settings = corpora.options("mini" if corpora.synthetic else "digits")
        counts = settings.get(kind, settings)
        part = str(spec.get("part") or spec.get("split")).split("_")[0].split("-")[0]
        return counts.get(part, 0) * _SECONDS["mini" if corpora.synthetic else "digits"] / 3600
    facts = {
        "voicebank_demand": "voicebank_demand",
        "librimix": "librimix_metadata",
        "librispeech": "librispeech",
        "noisy_librispeech": "librispeech",
    }
    if kind not in facts:
        return 0.0
    hours = corpora.registry[facts[kind]].facts["hours"]
    return float(hours.get(str(spec.get("part") or spec.get("split")).split("_")[0], 0))


def _made(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """Bytes that stage 1 writes for a set."""
    kind, hours = spec["corpus"], _hours(corpora, spec)
    if kind == "librimix":
        parts = components(spec.get("type", "mix_single"), corpora.options("librimix").get("sources", 2))
        made = (1 + len(parts)) * hours * 3600 * spec.get("rate", 16000) * 2
        return made + (3 * hours * _PCM_HOUR if corpora.synthetic else 0)
    if kind == "noisy_librispeech":
        return hours * _PCM_HOUR * _FLAC
    if kind == "digits":
        return 2 * hours * _PCM_HOUR
    # The embedded corpus writes clean and noisy files at 48 kHz.
    return 2 * 3 * hours * _PCM_HOUR if corpora.synthetic else 0


def _dumped(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """Bytes of a set's archives."""
    signals = 2
    if spec["corpus"] == "librimix":
        signals = 1 + len(components(spec.get("type", "mix_single"), corpora.options("librimix").get("sources", 2)))
    return signals * _hours(corpora, spec) * _PCM_HOUR * _FLAC


def forecast(corpora: Corpora) -> str:
    """Say what stages 1 and 2 would do; nothing is fetched or written.

    Args:
        corpora: Of the preset.

    Returns:
        A table of the corpora with their licences, what is missing of them, and the disk needed.
    """
    lines = [f"Preset {corpora.recipe.name}:"]
    download = unpacked = peak = 0.0
    if corpora.synthetic:
        lines.append("  the sources are synthesised here, nothing is fetched")
    for corpus, parts in ({} if corpora.synthetic else corpora.needed()).items():
        entry, place = corpora.registry[corpus], corpora.place(corpus)
        missing = missing_archives(entry, place.folder, parts)
        wanted = [archive for archive in missing if local_archive(archive, place) is None]
        lines.append(f"  {entry.title}; licence {entry.licence}")
        if not missing:
            lines.append(f"    is in {place.folder}, nothing is fetched")
        elif place.fixed:
            lines.append(f"    {place.folder}, set in db.sh, lacks {', '.join(p for a in missing for p in a.provides)}")
        for archive in () if place.fixed else missing:
            state = f"fetch {human(archive.about)}" if archive in wanted else "is there"
            lines.append(f"    {archive.name}: {state}, unpacks to {human(archive.unpacked)} in {place.shared}")
        if not place.fixed:
            size = sum(archive.about for archive in wanted)
            download += size
            # The archives of a corpus are removed before those of the next are fetched.
            peak = max(peak, unpacked + size + sum(archive.unpacked for archive in missing))
            unpacked += sum(archive.unpacked for archive in missing)
    sets = corpora.sets.values()
    if any(spec["corpus"] == "custom" for spec in sets):
        lines.append(f"  your own corpus in {corpora.root('custom')}: how large is not known here")
    made, dumped = (sum(size(corpora, spec) for spec in sets) for size in (_made, _dumped))
    lines += [
        f"  to fetch: {human(download)}",
        f"  made in {corpora.made}: about {human(made)}",
        f"  archives in {corpora.recipe.dumpdir}: about {human(dumped)}",
        f"  disk needed at the peak: about {human(max(peak, unpacked + made + dumped))}",
    ]
    return "\n".join(lines)
