"""Files that are never there in part."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never there in part."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # others may write the same file
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
