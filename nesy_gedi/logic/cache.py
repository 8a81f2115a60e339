"""Compiled queries, kept in memory and on disk under a stable hash of all that decides them."""

import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from nesy_gedi.logic.compiler import Compiled
from nesy_gedi.logic.declarations import Program

_MOST_IN_MEMORY = 256
_memory: dict[str, Compiled] = {}


def cache_folder() -> Path | None:
    """``$NESY_GEDI_CACHE``, else a folder in the user's cache folder; None for a user without a home.

    It need not exist.
    """
    named = os.environ.get("NESY_GEDI_CACHE")
    try:
        if named:
            return Path(named).expanduser()
        if sys.platform == "win32":
            parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            parent = Path.home() / "Library" / "Caches"
        else:
            parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return parent / "nesy-gedi" / "circuits"


def cache_key(program: Program, pattern: Sequence[int]) -> str:
    """SHA-256 of the program's text, its query, the pattern of equal images, and the compilers."""
    content = [*_compilers(), program.source.text, str(program.query), list(pattern)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def cached(program: Program, pattern: Sequence[int], make: Callable[[], Compiled]) -> Compiled:
    """The compiled query from memory or disk, else what ``make`` makes, which is then kept.

    A file that is damaged, or a folder that cannot be written, is as good as none. Programs that may
    read files are not kept: their text does not decide them.
    """
    if program.trusted:
        return make()
    key = cache_key(program, pattern)
    compiled = _memory.pop(key, None)
    if compiled is None:
        folder = cache_folder()
        compiled = _read(folder / f"{key}.json") if folder else None
        if compiled is None:
            compiled = make()
            if folder:
                _write(folder / f"{key}.json", compiled)
    _memory[key] = compiled  # the last one: the first one is the one not used for longest
    if len(_memory) > _MOST_IN_MEMORY:
        _memory.pop(next(iter(_memory)), None)
    return compiled


@functools.cache
def _compilers() -> tuple[str, ...]:
    """What compiles: the versions of the libraries, and a digest of this package's own modules for it."""
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        own.update(path.read_bytes())
    return version("nesy-gedi"), version("problog"), version("pysdd"), own.hexdigest()


def _read(path: Path) -> Compiled | None:
    try:
        digest, _, text = path.read_text(encoding="utf-8").partition("\n")
        if digest != hashlib.sha256(text.encode()).hexdigest():
            return None
        return Compiled.from_json(json.loads(text))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(path: Path, compiled: Compiled) -> None:
    """Write a file at once, so that another process sees all of it or nothing."""
    text = json.dumps(compiled.to_json())
    content = hashlib.sha256(text.encode()).hexdigest() + "\n" + text
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.stem[:16], suffix=".partial")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
            os.replace(partial, path)
        except BaseException:
            os.unlink(partial)
            raise
