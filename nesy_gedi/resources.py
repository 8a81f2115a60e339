"""Files that travel with the package: ProbLog programs and experiment presets."""

from pathlib import Path

from nesy_gedi.errors import unknown

_PACKAGE = Path(__file__).resolve().parent


def resource(folder: str, name: str) -> Path:
    """Path of a shipped file, e.g. ``resource("programs", "addition.pl")``.

    In a wheel the folders lie inside the package, in a checkout beside it.

    Raises:
        UserError: there is no such file; the message names the nearest one.
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        path = root / folder / name
        if path.is_file():
            return path
    raise unknown(f"file in {folder}", name, shipped(folder))


def shipped(folder: str) -> list[str]:
    """Names of the shipped files, e.g. of ``programs``."""
    return sorted(path.name for root in (_PACKAGE, _PACKAGE.parent) for path in (root / folder).glob("*.*"))
