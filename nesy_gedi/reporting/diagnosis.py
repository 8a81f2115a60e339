"""What ``nesy-gedi doctor`` prints."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nesy_gedi.doctor import PACKAGE, Diagnosis


def lines(found: Diagnosis) -> Iterator[str]:
    """The diagnosis for people."""
    yield f"{PACKAGE} {found.version}, Python {found.python}, {found.system}"
    yield from _section(
        "packages", (f"{name} {version or 'missing'}" for name, version in found.packages.items())
    )
    yield from _section("extras", map(_extra, found.extras, found.extras.values()))
    yield from _section("processor", [", ".join([found.processor, *found.features])])
    quota = "" if found.core_quota is None else f", of which control groups allow {found.core_quota:g}"
    threads = "" if found.threads is None else f"; PyTorch has {found.threads} threads"
    yield from _section("cores", [f"{found.cores}{quota}{threads}"])
    if found.memory is not None:
        available = "" if found.memory_available is None else f", {_gb(found.memory_available)} available"
        yield from _section("memory", [f"{_gb(found.memory)}{available}"])
    if found.device is not None:
        yield from _section("device", [f"{found.device}, precision {found.precision}"])
    yield from _section("data", map(_data_line, found.data))
    yield from _section("disk", (f"{row['folder']}: {_gb(row['free'])} free" for row in found.disks))
    yield ""
    for finding in found.findings:
        yield f"{'wrong' if finding.stops else 'note'}: {finding.text}"
    if not found.stops:
        yield "nothing is wrong"


def _section(title: str, rows: Iterable[str]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{'' if number else title:11}{row}"


def _extra(name: str, packages: Mapping[str, str | None]) -> str:
    there = all(packages.values())
    told = ", ".join(f"{package} {version or 'missing'}" for package, version in packages.items())
    return f"{name}: {told}" + ("" if there else f" (pip install '{PACKAGE}[{name}]')")


def _data_line(row: Mapping[str, Any]) -> str:
    if row["state"] == "found":
        return f"{row['name']}: {row['source']}, {row['train']:,} + {row['test']:,}"
    if row["state"] == "missing":
        return f"{row['name']}: missing; {row['fetch']} ({row['download_mb']} MB)"
    return f"{row['name']}: damaged"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
