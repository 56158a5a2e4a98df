"""Tables that people save from spreadsheets and editors: read right, or refused with file, line and remedy."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Collection
from pathlib import Path

from espnet_plugins.contents import is_file
from local.common.kaldi_dir import DataError

_DELIMITERS = (",", ";", "\t", "|")
_REMEDY = "save it as 'CSV UTF-8'"
# The first bytes of what spreadsheets save when they are not asked for CSV.
_SPREADSHEETS = {b"PK\x03\x04": "a spreadsheet (.xlsx or .ods)", b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)"}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def _decode(content: bytes, path: Path) -> str:
    for start, what in _SPREADSHEETS.items():
        if content.startswith(start):
            raise DataError(f"{path} is {what}, not a table of text: {_REMEDY}")
    encoding = next((name for bom, name in _BOMS.items() if content.startswith(bom)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:200]:
        # UTF-16 without its mark: the zeros are the upper bytes of the header's letters.
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1 if encoding.startswith("utf-8") else 1
        shown = content[error.start : error.start + 1]
        raise DataError(
            f"{path}, line {line}: byte 0x{shown.hex()} is not {encoding.upper()} "
            f"(in Windows-1252 it is '{shown.decode('cp1252', 'replace')}'): {_REMEDY}"
        ) from None
    if "\0" in text:
        line = len(text[: text.index("\0")].splitlines())
        raise DataError(f"{path}, line {max(line, 1)}: holds a NUL character, it is no table of text: {_REMEDY}")
    return text


def _delimiter(lines: list[str], known: Collection[str]) -> tuple[str, int]:
    """The character between fields, and how many lines stand before the header."""
    first = lines[0].strip().lower() if lines else ""
    declared = first[4:] if first.startswith("sep=") else ""
    # A quotation mark or a letter separates nothing.
    if len(declared) == 1 and declared != '"' and not declared.isalnum():
        return declared, 1
    header = lines[0] if lines else ""
    found = {d: sum(name.strip().strip('"').lower() in known for name in header.split(d)) for d in _DELIMITERS}
    return max(_DELIMITERS, key=lambda d: (found[d], header.count(d))), 0


def read_csv(
    path: Path, *, required: Collection[str], optional: Collection[str] = (), ignore: bool = False
) -> list[tuple[int, dict[str, str]]]:
    """Read a table with a header.

    UTF-8 with or without a byte-order mark and UTF-16 are read; fields may be separated by commas, semicolons,
    tabs or bars; lines may end as on any system.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that may be there.
        ignore: Whether further columns are passed over instead of being an error.

    Returns:
        The line number and the fields of every row, by column, without blanks around them.

    Raises:
        DataError: When the file is missing or of another encoding, a column is missing, unknown or there twice,
            or a row has another number of fields than the header, which an unquoted separator in a text causes.

    Example:
        >>> import tempfile
        >>> table = Path(tempfile.mkdtemp()) / "t.csv"
        >>> _ = table.write_bytes("utt;text\\r\\na;\\"Yes; no\\"\\r\\n".encode("utf-16"))
        >>> read_csv(table, required=("utt", "text"))
        [(2, {'utt': 'a', 'text': 'Yes; no'})]
    """
    required, optional = list(required), list(optional)
    if not path.is_file():
        raise DataError(f"{path} is missing: write it with the columns {','.join(required)}")
    text = _decode(path.read_bytes(), path)
    lines = text.splitlines()
    delimiter, skipped = _delimiter(lines, {*required, *optional})
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    try:
        for _ in range(skipped):
            next(reader)
        written = next(reader, [])
        header = [name.strip().lower() for name in written]
        # Who writes a blank behind every separator does so in the header.
        spaced = any(name.startswith(" ") for name in written[1:])
        while header and not header[-1]:
            header.pop()
        _check_header(header, path, required, optional, ignore=ignore)
        for fields in reader:
            if any(field.strip() for field in fields):
                where = f"{path}, line {reader.line_num}"
                row = _row(header, fields, where, delimiter)
                if not spaced and (odd := [name for name, value in row.items() if name != "text" and value[:1] == " "]):
                    raise DataError(
                        f"{where}: the field '{odd[0]}' begins with a blank ('{row[odd[0]]}'): has a text before it a "
                        f"'{delimiter}' and no quotation marks?"
                    )
                rows.append((reader.line_num, {name: value.strip() for name, value in row.items()}))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; write '\"' inside a quoted field twice") from None
    if not rows:
        raise DataError(f"{path} has no rows")
    kept = {*required, *optional}
    return [(number, {name: value for name, value in row.items() if name in kept}) for number, row in rows]


def _check_header(
    header: list[str], path: Path, required: Collection[str], optional: Collection[str], *, ignore: bool
) -> None:
    if missing := [name for name in required if name not in header]:
        seen = ", ".join(header[:8]) or "nothing"
        raise DataError(f"{path} has no column '{missing[0]}': needed are {','.join(required)} (it has {seen})")
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{path}: the column '{twice[0]}' is there twice")
    unknown = sorted({*header} - {*required, *optional})
    if unknown and not ignore:
        raise DataError(f"{path}: unknown column '{unknown[0]}' (optional are {','.join(optional)})")


def _row(header: list[str], fields: list[str], where: str, delimiter: str) -> dict[str, str]:
    values, surplus = fields[: len(header)], fields[len(header) :]
    if len(values) < len(header) or any(field.strip() for field in surplus):
        name = {"\t": "tabs"}.get(delimiter, f"'{delimiter}'")
        raise DataError(
            f"{where}: {len(fields)} fields where the header has {len(header)}: "
            f"put a text with {name} in it between quotation marks, and leave no field out"
        )
    for column, value in zip(header, values, strict=True):
        if "\n" in value.strip() or "\r" in value.strip():
            raise DataError(f"{where}: the field '{column}' goes over several lines: close its quotation marks")
    return dict(zip(header, values, strict=True))


def locate(folder: Path, name: str) -> Path:
    """The file that a table names, relative to its folder; as Windows or a Macintosh would write it, too.

    Args:
        folder: The table's.
        name: A path with / or \\\\ between folders, its letters composed or not.

    Returns:
        The one that is there, or else the path as it was written.
    """
    written = folder / name
    forms = [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    candidates = [folder / form for form in (*forms, *(form.replace("\\", "/") for form in forms))]
    return next((path for path in candidates if is_file(path)), written)
