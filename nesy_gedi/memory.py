"""Memory that a training frees and soon wants again stays with the process."""

import ctypes

# <malloc.h>
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Ask glibc's malloc not to give freed blocks back to the system.

    By default every tensor above 32 MB is mapped anew, and the system clears each of its pages when it is
    first written: a third of a training step on images. Kept blocks are reused as they are. It holds for the
    whole process, so it is for programs, not for libraries, to call.

    Returns:
        Whether there is such a malloc; elsewhere (macOS, Windows, musl) nothing changes.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # no block gets a mapping of its own; the heap is never cut back
    return bool(set_option(_MMAP_MAX, 0)) and bool(set_option(_TRIM_THRESHOLD, -1))
