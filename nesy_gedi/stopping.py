"""Ctrl-C and SIGTERM while training: finish the step, save, end."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_PATIENCE = 4.0  # seconds that a step may take to its end
_HEARD = [signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]


class StoppedError(BaseException):
    """A signal ended the work after all was saved; not an error to be handled on the way.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


class StopRequest:
    """Listens for SIGINT and SIGTERM. A context manager.

    The first one is only noted; the second ends the work at once, by KeyboardInterrupt, and so does the first
    if nobody has reacted after a few seconds.

    Args:
        patience: how many; None for as long as a step may take.

    Attributes:
        signal: the number of the first one; 0 until it comes.
    """

    def __init__(self, patience: float | None = None) -> None:
        self.signal, self.patience = 0, patience
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in _HEARD:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and shells want it
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.signal and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        if hasattr(signal, "setitimer"):  # not on Windows
            signal.setitimer(signal.ITIMER_REAL, self.patience or _PATIENCE)
