"""The model card: what a model does, what it was made of, how, under which terms, and how well it works."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import yaml

# Kind of a model -> what a hub calls such models.
_PIPELINES = {
    "enh": ["audio-to-audio", "speech-enhancement"],
    "asr": ["automatic-speech-recognition"],
    "joint": ["automatic-speech-recognition", "audio-to-audio", "speech-enhancement"],
}
_DOES = {
    "enh": "A speech-enhancement front-end: noisy speech in, enhanced speech out.",
    "asr": "A speech recognizer.",
    "joint": "A speech-enhancement front-end and a recognizer, fine-tuned together: noisy speech in, enhanced speech "
    "and words out.",
}


@dataclasses.dataclass(frozen=True)
class Source:
    """Something that a model was made of.

    Args:
        name: A corpus, an SSL model, published weights.
        license: Its license.
    """

    name: str
    license: str


@dataclasses.dataclass(frozen=True)
class Card:
    """What only the people who made a model know of it.

    Args:
        title: The card's heading.
        description: A paragraph about what is special.
        license: Of the weights, as hubs write it ("cc-by-4.0"); left out: the card says that nobody has said.
        sources: What it was trained on and built over.
        commands: Command lines that made it.
        environment: What -> value: versions, machine, date.
        results: Tables in Markdown, with what they show.
        sample_rate: Samples per second that it was trained at.
        cite: Works to cite.
    """

    title: str
    description: str = ""
    license: str | None = None
    sources: Sequence[Source] = ()
    commands: Sequence[str] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    results: str = ""
    sample_rate: int = 16000
    cite: Sequence[str] = ()


def render_card(card: Card, *, kind: str, stock: bool, file: str = "model.zip", beside: Sequence[str] = ()) -> str:
    """Write a card.

    Args:
        card: What is known of the model.
        kind: "enh", "asr" or "joint".
        stock: Whether stock ESPnet reads it; else this package is needed.
        file: What the packed file is called in the examples.
        beside: Files that lie beside the card.

    Returns:
        Markdown with the front matter that hubs read.

    Example:
        >>> text = render_card(Card("A front-end", sources=[Source("A corpus", "CC BY 4.0")]), kind="enh", stock=True)
        >>> print(text.partition("---\\n\\n")[2].splitlines()[0])
        # A front-end
        >>> "| A corpus | CC BY 4.0 |" in text
        True
    """
    front = {"tags": ["espnet", "audio", *_PIPELINES[kind]], "license": card.license or "other"}
    if card.license is None:
        front["license_name"] = "not-stated"
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {card.title}",
        _DOES[kind] + (f" {card.description}" if card.description else ""),
        f"Trained at {card.sample_rate} samples per second, one channel.",
        "## Use",
        *_usage(card, kind=kind, stock=stock, file=file),
        "## What it was made of",
        _sources(card.sources),
        "## License",
        _license(card),
    ]
    if card.results:
        parts += ["## Results", card.results.strip()]
    if card.commands or card.environment:
        parts += ["## How it was made"]
    if card.commands:
        parts += ["```\n" + "\n".join(card.commands) + "\n```"]
    if card.environment:
        parts += [
            "\n".join(["| | |", "|---|---|", *(f"| {_cell(k)} | {_cell(v)} |" for k, v in card.environment.items())])
        ]
    if beside:
        parts += ["## Files", "\n".join(f"- `{name}`" for name in beside)]
    if card.cite:
        parts += ["## Cite", "\n".join(f"- {work}" for work in card.cite)]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def _sources(sources: Sequence[Source]) -> str:
    if not sources:
        return "Nobody has said what it was trained on."
    rows = [f"| {_cell(source.name)} | {_cell(source.license)} |" for source in sources]
    return "\n".join(["| what | license |", "|---|---|", *rows])


def _license(card: Card) -> str:
    if card.license is None:
        return (
            "The makers have not said under which license they pass the weights on; what they were made of has its own."
        )
    return f"The weights: {card.license}. What they were made of has licenses of its own, see above."


def _usage(card: Card, *, kind: str, stock: bool, file: str) -> list[str]:
    ours = [f"With the package espnet_plugins; in place of `{file}`, the unpacked folder or a hub's name:"]
    calls = {"enh": ["Enhancer"], "asr": ["Recognizer"], "joint": ["Enhancer", "Recognizer"]}[kind]
    results = {"Enhancer": "enhanced", "Recognizer": "words"}
    lines = [f"from espnet_plugins.inference import {', '.join(calls)}"]
    lines += [f'{results[name]} = {name}.from_pretrained("{file}")(waveform, rate)' for name in calls]
    found = [*ours, "```python\n" + "\n".join(lines) + "\n```"]
    if not stock:
        return [*found, "Stock ESPnet has no classes for a part of this model: the package is needed."]
    if kind == "enh":
        lines = [
            "from espnet2.bin.enh_inference import SeparateSpeech",
            f'separate = SeparateSpeech.from_pretrained("{file}")',
        ]
        lines += [f"enhanced = separate(waveform[None], fs={card.sample_rate})[0]"]
    else:
        option = ", enh_s2t_task=True" if kind == "joint" else ""
        lines = ["from espnet2.bin.asr_inference import Speech2Text"]
        lines += [f'recognize = Speech2Text.from_pretrained("{file}"{option})', "results = recognize(waveform)"]
    return [*found, "With ESPnet alone:", "```python\n" + "\n".join(lines) + "\n```"]
