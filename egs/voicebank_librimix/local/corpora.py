"""Stage 1: corpora are found and verified, downloaded, synthesised or mixed."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from local import mini_corpus
from local.config import Recipe, add_common_arguments
from local.librimix_generator import SPLITS, Plan, generate
from local.steps import Step, run_main

STAGE = 1

# Corpus -> its folder, below --downloads or below the embedded corpus.
FOLDERS = {
    "voicebank_demand": "voicebank_demand",
    "librispeech": "LibriSpeech",
    "wham_noise": "wham_noise",
    "librimix_metadata": "LibriMix/metadata",
    "demand": "demand",
}


@dataclasses.dataclass(frozen=True)
class Corpora:
    """Where the corpora of one invocation lie and what stage 1 has to do for them.

    Args:
        recipe: The invocation. Its preset's `corpora` section names what is needed; a section `mini` there
            means that the sources are synthesised.
    """

    recipe: Recipe

    @property
    def settings(self) -> Mapping[str, Any]:
        """The `corpora` section of the preset."""
        return self.recipe.preset["corpora"]

    @property
    def made(self) -> Path:
        """Where everything that is synthesised or mixed goes."""
        return self.recipe.datadir / "corpora"

    def options(self, corpus: str) -> dict[str, Any]:
        """What the preset says about a corpus."""
        return dict(self.settings.get(corpus) or {})

    def root(self, corpus: str) -> Path:
        """The folder of a corpus: synthesised, named by the site in db.sh, or below --downloads."""
        if corpus == "librimix" and not os.environ.get("LIBRIMIX"):
            return self.made / "librimix" / f"Libri{self.options('librimix').get('sources', 2)}Mix"
        if "mini" in self.settings:
            return self.made / "mini" / FOLDERS[corpus]
        return Path(os.environ.get(corpus.upper()) or self.recipe.downloads / FOLDERS[corpus])

    def done(self, corpus: str) -> Path:
        """The `.done` of the step that makes or verifies a corpus."""
        name = "mini" if "mini" in self.settings and corpus in FOLDERS else corpus
        return self.made / name / f".{name}.done"

    def work(self) -> Iterator[tuple[Step, Callable[[], Any]]]:
        """The steps of stage 1 in order, each with what it does."""
        if "mini" in self.settings:
            settings = self.options("mini")
            step = Step("mini", stage=STAGE, out=self.made / "mini", settings={**settings, "v": mini_corpus.VERSION})
            yield step, lambda: mini_corpus.synthesise(step.out, settings, nj=self.recipe.nj)
        if "librimix" in self.settings:
            yield self._librimix()

    def _librimix(self) -> tuple[Step, Callable[[], Any]]:
        settings = {
            **{"sources": 2, "splits": list(SPLITS), "types": ["mix_single"], "modes": ["max"], "rates": [16000]},
            **self.options("librimix"),
        }
        needed = ("librispeech", "wham_noise", "librimix_metadata")
        step = Step(
            "librimix",
            stage=STAGE,
            out=self.made / "librimix",
            inputs={corpus: (self.done(corpus), STAGE) for corpus in needed},
            settings=settings,
        )
        return step, lambda: self._mix(settings)

    def _mix(self, settings: Mapping[str, Any]) -> None:
        count = settings["sources"]
        for split in settings["splits"]:
            name = f"Libri{count}Mix/libri{count}mix_{SPLITS[split]}.csv"
            plan = Plan(
                metadata=self.root("librimix_metadata") / name,
                librispeech=self.root("librispeech"),
                wham=self.root("wham_noise"),
                out=self.root("librimix"),
                split=split,
                types=tuple(settings["types"]),
                modes=tuple(settings["modes"]),
                rates=tuple(settings["rates"]),
            )
            generate(plan, nj=self.recipe.nj)


def main() -> None:
    """Run stage 1 from the command line."""
    args = add_common_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    for step, action in Corpora(Recipe.from_args(args)).work():
        step.run(action)


if __name__ == "__main__":
    run_main(main)
