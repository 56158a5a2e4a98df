"""Presets and the command line that every stage shares."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from espnet_plugins.extensions import announce, import_modules
from local.common.errors import OptionError
from local.common.objectives import Objective, in_order
from local.common.preset_keys import check_preset
from local.common.yaml_files import read_yaml

RECIPE_DIR = Path(__file__).resolve().parents[2]
FINETUNE_MODES = ("joint", "se")
# What stage 4 can train over the frozen SSL model: a recognizer of words, one of phones.
HEADS = ("asr", "pr")
# Lists of a preset that go before those of what it extends.
_JOINED = ("conf_dirs", "import")


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings; the second wins, lists are replaced whole.

    Example:
        >>> deep_merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def preset_names() -> list[str]:
    """The presets that come with the recipe."""
    return sorted(path.stem for path in (RECIPE_DIR / "conf" / "presets").glob("*.yaml"))


def front_end_names(folders: Sequence[Path] = (RECIPE_DIR / "conf",)) -> list[str]:
    """The front-ends that come with the recipe, or lie in a user's folders of configurations."""
    return sorted({path.stem for folder in folders for path in (folder / "front_ends").glob("*.yaml")})


def _preset_file(name: str, *, named_in: str) -> Path:
    """The file of a preset; `named_in` says for messages where it is named."""
    own = name.endswith((".yaml", ".yml"))
    path = Path(name) if own else RECIPE_DIR / "conf" / "presets" / f"{name}.yaml"
    # Path.is_file() fails for a name that no system would have.
    if not os.path.isfile(path):
        if own:
            raise OptionError(f"{named_in}preset {name}: no such file: {path.absolute()}")
        near = difflib.get_close_matches(name, preset_names(), n=1)
        guess = f"did you mean '{near[0]}'? " if near else ""
        known = f"choose from {', '.join(preset_names())}, or give a .yaml file"
        raise OptionError(f"{named_in}unknown preset '{name}': {guess}{known}")
    return path


def load_preset(name: str, *, _below: tuple[str, ...] = (), _named_in: str = "") -> dict[str, Any]:
    """Load a preset by name, or a user's own by the path of its YAML file.

    Args:
        name: One of preset_names(), or a path ending in .yaml. A preset may say `extends: OTHER`, `conf_dirs:
            [FOLDER, ..]` (from where the preset is; searched before the recipe's conf/) and `import: [MODULE, ..]`.

    Returns:
        The settings, with those of `extends` underneath; `import_from` says where the presets are.

    Raises:
        OptionError: When there is no such preset, with the file that names it.
    """
    path = _preset_file(name, named_in=_named_in)
    preset = read_yaml(path)
    parent = preset.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        raise OptionError(f"{path}: extends: {parent!r} is not accepted; give a preset's name or a .yaml file")
    if parent in (*_below, name):
        raise OptionError(f"{path}: extends: {' -> '.join((*_below, name, parent))} comes back to itself")
    for key in _JOINED:
        preset[key] = _names(f"{path}: {key}", preset.get(key))
    here = path.resolve().parent
    preset["conf_dirs"] = [str(here / folder) for folder in preset["conf_dirs"]]
    for folder in preset["conf_dirs"]:
        if not Path(folder).is_dir():
            raise OptionError(f"{path}: conf_dirs: no such folder: {folder}")
    preset["import_from"] = [*preset.get("import_from", []), str(here)] if preset["import"] else []
    if not parent:
        return preset
    below = load_preset(parent, _below=(*_below, name), _named_in=f"{path}: extends: ")
    joined = {key: [*preset[key], *below[key]] for key in (*_JOINED, "import_from")}
    return deep_merge(below, {**preset, **joined})


def _names(key: str, value: Any) -> list[str]:
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"{key}: {value!r} is not accepted; give a list of names")
    return names


def import_user_modules(preset: Mapping[str, Any]) -> None:
    """Import the modules that a preset names, here and in every program that is started from here.

    They may register corpora, criteria and upstreams. They are looked for where python looks, then beside the preset.

    Args:
        preset: The settings of load_preset().

    Raises:
        OptionError: When one cannot be imported, naming it and why.
    """
    try:
        import_modules(preset["import"], folders=preset["import_from"])
    except ImportError as error:
        raise OptionError(f"import: {error}") from error
    announce(preset["import"], folders=preset["import_from"])


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One invocation of the recipe: its preset, its directories, its resources.

    Args:
        preset: The settings of load_preset().
        name: The preset's name.
        downloads: Where corpora lie or are put.
        datadir: Kaldi-style data directories.
        dumpdir: Audio archives ready for training.
        expdir: Models, decoding results, scores, report.
        nj: Parallel processes.
        ngpu: GPUs for training; 0 trains on the CPU.
    """

    preset: dict[str, Any]
    name: str
    downloads: Path
    datadir: Path
    dumpdir: Path
    expdir: Path
    nj: int
    ngpu: int = 0

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Recipe:
        """Build it from the options of add_common_arguments()."""
        name = Path(args.preset).stem
        preset = load_preset(args.preset)
        import_user_modules(preset)
        if args.front_end and args.front_end != preset.get("front_end"):
            # Published weights belong to the preset's own front-end; another one is trained.
            preset |= {"front_end": args.front_end, "front_end_weights": None}
        check_preset(name, preset, configurations=configuration_names(preset))
        front_ends = front_end_names(conf_folders(preset))
        if (front_end := preset.get("front_end")) not in front_ends:
            raise OptionError(f"unknown front-end '{front_end}': choose from {', '.join(front_ends)}")
        _check_recognizers(name, preset)
        if args.nj < 1:
            raise OptionError(f"--nj must be at least 1, not {args.nj}")
        paths = {
            field: Path(getattr(args, field) or Path(field.removesuffix("dir")) / name).absolute()
            for field in ("downloads", "datadir", "dumpdir", "expdir")
        }
        return cls(preset=preset, name=name, nj=args.nj, ngpu=args.ngpu, **paths)

    @property
    def heads(self) -> list[str]:
        """The recognizers that stage 4 trains."""
        return self.preset["heads"]

    @property
    def judges(self) -> dict[str, dict[str, Any]]:
        """Recognizers that nobody here trained: name -> options (local.stages.judges)."""
        return _judges(self.preset)

    @property
    def recognizers(self) -> list[str]:
        """All that stage 6 recognizes with; the first gives the main tables."""
        return [*self.heads, *self.judges]

    @property
    def note(self) -> str:
        """What stands at the head of the preset's results; "" for nothing."""
        return self.preset.get("note") or ""

    @property
    def development_judge(self) -> str:
        """The judge that decodes the development set with every model that a fine-tuning keeps; "" for none."""
        return self.preset.get("development_judge") or ""

    @property
    def quality_utterances(self) -> int | None:
        """Of each test set, those whose signals are measured; None for all."""
        return _count(self.preset["quality_utterances"])

    @property
    def listened_utterances(self) -> int | None:
        """Of those, the ones that DNSMOS and DistillMOS judge; None for all."""
        return _count(self.preset["listened_utterances"])

    @cached_property
    def objectives(self) -> dict[str, Objective]:
        """The objectives there are, of the recipe and of the preset's folders, in the order of tables.

        Raises:
            OptionError: For a file that does not say what is asked of it.
        """
        names = {path.stem for folder in conf_folders(self.preset) for path in (folder / "objectives").glob("*.yaml")}
        files = [self.conf(f"objectives/{name}.yaml") for name in sorted(names)]
        over = self.preset.get("config", {})
        found = [Objective.from_config(path, deep_merge(read_yaml(path), over.get(path.stem) or {})) for path in files]
        layers = self.preset.get("layers") or []
        return in_order([*found, *(one.at_layer(layer) for one in found if one.needs_upstream for layer in layers)])

    def conf(self, name: str) -> Path:
        """The path of a configuration: in one of the preset's folders, else below the recipe's conf/."""
        found = [folder / name for folder in conf_folders(self.preset) if (folder / name).exists()]
        return found[0] if found else RECIPE_DIR / "conf" / name

    def dump_done(self, name: str) -> Path:
        """The `.done` of a dumped set, the input of whatever reads the set."""
        return self.dumpdir / name / ".dump.done"


def _judges(preset: Mapping[str, Any]) -> dict[str, Any]:
    """The judges of a preset; null takes away one of the preset that it extends."""
    return {name: options for name, options in (preset.get("judges") or {}).items() if options is not None}


def _check_recognizers(name: str, preset: Mapping[str, Any]) -> None:
    """Refuse a choice of heads and judges that no stage can honor.

    Raises:
        OptionError: Naming the preset and the key.
    """
    heads, judges = preset.get("heads", []), _judges(preset)
    if not isinstance(heads, list) or not {*heads} <= {*HEADS} or (heads and "asr" not in heads):
        raise OptionError(
            f"preset '{name}': heads: {heads!r} is not accepted; give [asr], [asr, pr] or, with judges, []"
        )
    if not all(isinstance(options, dict) for options in judges.values()):
        raise OptionError(f"preset '{name}': judges: {judges!r} is not accepted; give NAME: {{model: ...}}")
    if not heads and not judges:
        raise OptionError(f"preset '{name}': heads: {heads!r} is not accepted without judges; give [asr] or [asr, pr]")
    following = preset.get("development_judge")
    if following and (following not in judges or heads):
        raise OptionError(
            f"preset '{name}': development_judge: {following!r} is not accepted; give one of the preset's judges "
            f"({', '.join(judges) or 'it has none'}), in a preset without a recognizer (heads: [])"
        )
    if taken := sorted({*judges} & {*HEADS}):
        raise OptionError(f"preset '{name}': judges: '{taken[0]}' is the name of a head; choose another")


def conf_folders(preset: Mapping[str, Any]) -> list[Path]:
    """Where configurations are looked for: the folders of the preset, then the recipe's conf/."""
    return [*map(Path, preset.get("conf_dirs", [])), RECIPE_DIR / "conf"]


def _count(asked: int | str) -> int | None:
    return None if isinstance(asked, str) else asked


def configuration_names(preset: Mapping[str, Any]) -> set[str]:
    """Over which files `config` of a preset may say something: those in its folders and below the recipe's conf/."""
    found = {path for folder in conf_folders(preset) for path in (*folder.glob("*.yaml"), *folder.glob("*/*.yaml"))}
    return {path.stem for path in found if path.parent.name != "presets"}


def add_common_arguments(
    parser: argparse.ArgumentParser, *, number: Callable[[str], int] = int
) -> argparse.ArgumentParser:
    """Add the options that every stage needs.

    Args:
        parser: Gets them.
        number: Reads a whole number.
    """
    parser.add_argument("--preset", default="mini", help=f"one of {', '.join(preset_names())}, or a .yaml file")
    parser.add_argument("--front_end", help=f"one of {', '.join(front_end_names())} (default: the preset's)")
    parser.add_argument("--downloads", help="corpora (default: downloads/PRESET)")
    parser.add_argument("--datadir", help="data directories (default: data/PRESET)")
    parser.add_argument("--dumpdir", help="audio archives (default: dump/PRESET)")
    parser.add_argument("--expdir", help="experiments (default: exp/PRESET)")
    parser.add_argument("--nj", type=number, default=2, help="parallel processes (default: %(default)s)")
    parser.add_argument("--ngpu", type=number, default=0, help="GPUs for training (default: %(default)s)")
    return parser


@dataclasses.dataclass(frozen=True)
class Run:
    """One fine-tuning run of stage 5.

    Args:
        objective: One of Recipe.objectives.
        finetune: "joint" or "se".
        seed: Of initialization, data order and perturbation.
    """

    objective: str
    finetune: str
    seed: int

    @property
    def name(self) -> str:
        """The run's name in every directory and table."""
        return f"{self.objective}_{self.finetune}_seed{self.seed}"

    @classmethod
    def from_name(cls, name: str) -> Run:
        """The run that has a name.

        Example:
            >>> Run.from_name("ssl_mse_joint_seed3")
            Run(objective='ssl_mse', finetune='joint', seed=3)
        """
        objective, finetune, seed = name.rsplit("_", 2)
        return cls(objective, finetune, int(seed.removeprefix("seed")))


def add_run_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that select the runs of stage 5."""
    parser.add_argument("--objectives", help="separated by blanks or commas (default: the preset's)")
    parser.add_argument("--finetune", help="joint or se (default: the preset's)")
    parser.add_argument("--seeds", help="whole numbers, separated by blanks or commas (default: the preset's)")
    return parser


def runs_from_args(recipe: Recipe, args: argparse.Namespace) -> list[Run]:
    """The runs that the options of add_run_arguments() ask for, objective by objective in the order of tables.

    Args:
        recipe: Its preset's `runs` stand for options that are not given; `more_seeds` of these has seeds of single
            objectives beyond `seeds`.
        args: The options.

    Raises:
        OptionError: For an unknown objective or mode, or a seed that is no whole number.
    """
    defaults = recipe.preset["runs"]
    finetune = args.finetune or defaults["finetune"]
    objectives = (args.objectives or defaults["objectives"]).replace(",", " ").split()
    seeds = (args.seeds or str(defaults["seeds"])).replace(",", " ").split()
    for objective in objectives:
        if objective not in recipe.objectives:
            where = "--objectives" if args.objectives else f"preset '{recipe.name}': runs"
            raise OptionError(f"{where}: unknown objective '{objective}': choose from {', '.join(recipe.objectives)}")
    if finetune not in FINETUNE_MODES:
        raise OptionError(f"unknown --finetune '{finetune}': choose from {', '.join(FINETUNE_MODES)}")
    alone = [objective for objective in objectives if recipe.objectives[objective].shown.alone]
    if alone and finetune != "joint":
        raise OptionError(f"'{alone[0]}' is the recognition loss alone, which --finetune joint has")
    if not recipe.heads:
        if finetune != "se":
            raise OptionError(f"preset '{recipe.name}' trains no recognizer (heads: []): --finetune must be se")
        if lacking := [name for name in objectives if "recognizer" in recipe.objectives[name].needs.values()]:
            raise OptionError(f"'{lacking[0]}' needs a recognizer, and preset '{recipe.name}' trains none (heads: [])")
    # Where --seeds says nothing, some objectives may have more seeds than the rest.
    more = {} if args.seeds else _more_seeds(recipe, defaults.get("more_seeds") or {})
    for seed in seeds:
        if not seed.isdecimal():
            raise OptionError(f"--seeds takes whole numbers, not '{seed}'")
    if not objectives or not seeds:
        raise OptionError("--objectives and --seeds need at least one value each")
    ordered = sorted(objectives, key=list(recipe.objectives).index)
    return [Run(name, finetune, seed) for name in ordered for seed in (*map(int, seeds), *more.get(name, ()))]


def _more_seeds(recipe: Recipe, seeds: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The preset's `runs: {more_seeds: {OBJECTIVE: "1 2"}}`, read."""
    found = {name: str(value).replace(",", " ").split() for name, value in seeds.items()}
    for name, values in found.items():
        if name not in recipe.objectives:
            raise OptionError(f"preset '{recipe.name}': runs: more_seeds: unknown objective '{name}'")
        if not all(value.isdecimal() for value in values):
            raise OptionError(f"preset '{recipe.name}': runs: more_seeds: {name}: whole numbers, not '{seeds[name]}'")
    return {name: tuple(map(int, values)) for name, values in found.items()}


def add_resume_argument(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --resume, of the stages that train."""
    parser.add_argument("--resume", default="true", help="false trains again (default: %(default)s)")
    return parser


def resume_from_args(args: argparse.Namespace) -> bool:
    """The value of --resume.

    Raises:
        OptionError: When it is neither true nor false.
    """
    if args.resume not in ("true", "false"):
        raise OptionError(f"--resume is true or false, not '{args.resume}'")
    # A job that was queued again goes on with what it began.
    return args.resume == "true" or int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
