"""An objective of a user, outside the repository: a criterion, its YAML, a preset that names both."""

FILES = {
    "my_toy.py": """
from espnet_plugins.objectives import SSLCriterion, register_criterion


@register_criterion
class ToyCriterion(SSLCriterion):
    default_name = "toy_criterion"

    def distance(self, estimate, reference, estimate_lengths, reference_lengths):
        return (estimate - reference).abs().mean(2).sum(1) / estimate_lengths
""",
    "conf/objectives/toy.yaml": """
objective: {label: Toy, order: 55, needs: {toy_criterion: upstream}}
enh_criterions:
  - name: toy_criterion
    conf: {normalize_frames: true}
    wrapper: inherit_permutation
    wrapper_conf: {weight: 10.0}
""",
    "toy.yaml": """
extends: smoke
import: [my_toy]
conf_dirs: [conf]
""",
}


def write_toy(folder):
    """Write the files; gives the preset."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    return folder / "toy.yaml"
