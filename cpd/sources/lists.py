"""List files as rows of text: BOM, CRLF and blank lines are tolerated, anything else is told by file and line."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One row of a table: its cells by column and where it stands."""

    cells: dict[str, str]
    where: str

    def number(self, column: str) -> float:
        """The cell as a finite number.

        Raises:
            CpdError: it is not one; file, line and column are named.
        """
        try:
            value = float(self.cells[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise CpdError(
                f"{self.where}: column {column!r} is {self.cells[column]!r}, not a number of seconds",
                hint="mend the row, or fetch the list again if it was cut short",
            )
        return value


def read_text(path: str | Path) -> str:
    """A text file as UTF-8; bytes that are not UTF-8 become U+FFFD, with a warning, and a BOM goes.

    Raises:
        CpdError: the file cannot be read, or holds nothing.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CpdError(f"{path}: cannot be read: {error.strerror}", hint="mend the path in `lists`") from None
    text = data.decode("utf-8-sig", errors="replace")
    replaced = text.count("\ufffd") - data.count("\ufffd".encode())
    if replaced:
        log.warning("%s: not UTF-8 in %d places, which read U+FFFD now", path, replaced)
    if not text.strip():
        raise CpdError(f"{path}: the file is empty", hint="fetch the list again")
    return text


def valid_text(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which JSON may hold and no file can."""
    return text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers; only LF and CRLF end a line."""
    return _lines(read_text(path))


def _lines(text: str) -> list[tuple[int, str]]:
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.rstrip("\r")) for number, line in lines if line.strip()]


def read_tabbed(path: str | Path) -> list[tuple[int, str]]:
    """As `read_lines`, for tab separated columns.

    Raises:
        CpdError: the last line has no end and fewer columns than the first: half of a row passed for a whole one.
    """
    text = read_text(path)
    lines = _lines(text)
    (_, first), (number, last) = lines[0], lines[-1]
    if not text.endswith("\n") and last.count("\t") < first.count("\t"):
        raise CpdError(
            f"{path}:{number}: {last.count(chr(9)) + 1} columns and no end, the first line has "
            f"{first.count(chr(9)) + 1}: {last[:80]!r}",
            hint="was the file cut short? fetch it again",
        )
    return lines


def read_csv(path: str | Path, *, columns: Sequence[str]) -> list[Row]:
    """Rows of a csv with a header that has at least `columns`.

    Raises:
        CpdError: unreadable, empty, a column is missing, or a row is shorter or longer than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    table: list[tuple[int, list[str]]] = []
    try:
        table.extend((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise CpdError(f"{path}:{reader.line_num}: {error}", hint="is it a comma separated table?") from None
    header = [name.strip() for name in table[0][1]]
    _check_header(path, header, columns)
    if len(table) == 1:
        raise CpdError(f"{path}: there is a header but no row", hint="fetch the list again")
    return [_row(path, number, header, cells) for number, cells in table[1:]]


def _check_header(path: str | Path, header: list[str], columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise CpdError(
            f"{path}: no column {missing[0]!r}; found: {', '.join(header)[:200]}",
            hint="the first line must name the columns",
        )


def _row(path: str | Path, number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise CpdError(
            f"{path}:{number}: {len(cells)} cells, the header has {len(header)}",
            hint="was the file cut short? fetch it again",
        )
    return Row(dict(zip(header, cells, strict=True)), f"{path}:{number}")


def safe_id(name: str, *, unique: str) -> str:
    """An id that is a safe file name: what is safe of `name`, and a short hash of `unique`."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:48]
    digest = hashlib.sha256(unique.encode("utf-8", errors="replace")).hexdigest()[:12]
    return f"{slug}-{digest}" if slug else digest
