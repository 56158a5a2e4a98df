"""Settings out of YAML files: whatever is wrong with a file is one error that names it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from local.common.errors import OptionError


class _Loader(yaml.SafeLoader):
    """YAML's safe loader; a key that is there twice is an error, since the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            # What is merged in (<<) may be overruled.
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"line {line}: the key '{key.value}' is there twice"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: The file.

    Returns:
        Its settings.

    Raises:
        OptionError: When it is missing, cannot be read, is not valid, has a key twice, or holds no mapping.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "own.yaml"
        >>> _ = file.write_text("seed: 1\\nseed: 2\\n")
        >>> read_yaml(file)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        local.common.errors.OptionError: ...own.yaml is not valid YAML: line 2: the key 'seed' is there twice
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise OptionError(f"no such configuration: {path}") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror or error}") from None
    # Of a number with thousands of digits or a date that is none YAML's own errors say nothing.
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise OptionError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must hold a mapping of settings")
    return content
