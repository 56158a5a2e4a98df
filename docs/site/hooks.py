"""Pages of the repository that stand outside docs/ (README, results, a notebook, ...) are pages of the site, too.

Links between them are written as they work in a checkout; here they are turned into links between pages. A link to
a file that is no page (a script, a folder) becomes its path: the site does not know where the checkout is hosted.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

# Page of the repository -> page of the site; results/*.md join them.
PAGES = {
    "README.md": "index.md",
    "RESULTS.md": "results.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "egs/voicebank_librimix/README.md": "recipe.md",
    "examples/first_steps.ipynb": "first_steps.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def _pages(root: Path) -> dict[str, str]:
    names = [f"results/{path.name}" for path in sorted((root / "results").glob("*.md"))]
    return {**PAGES, **{name: name for name in names}}


def _content(path: Path) -> str:
    """A page's Markdown; of a notebook, which is stored without outputs, its text and its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells)


def on_files(files, config):
    """Add the pages that stand outside docs/."""
    root = Path(config.config_file_path).parent
    for source, target in _pages(root).items():
        if (root / source).is_file():
            files.append(File.generated(config, target, content=_content(root / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite relative links from places in the checkout to places on the site."""
    root = Path(config.config_file_path).parent
    pages = _pages(root)
    back = {target: source for source, target in pages.items()}
    here = back.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def rewrite(match: re.Match[str]) -> str:
        picture, text, address, anchor = match[1], match[2], match[3], match[4] or ""
        if not address or re.match(r"[a-z]+:", address):
            return match[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(here), address))
        target = pages.get(place, place.removeprefix("docs/") if place.startswith("docs/") else None)
        if target is None:
            if not (root / place).exists():
                return match[0]  # mkdocs warns of it
            return f"{text} (`{place}`)" if place not in text else f"`{text.strip('`')}`"
        relative = os.path.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"{picture}[{text}]({relative}{anchor})"

    # Code blocks are left as they are.
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(rewrite, part) for part in parts)
