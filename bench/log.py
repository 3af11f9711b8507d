# SPDX-License-Identifier: BSD-2-Clause
"""What a process says while it runs."""

from __future__ import annotations

import os
import tempfile


class Log:
    """A file for the output of processes, to be read at any time.

    They write at the position of the file, which they share: to seek in it would have them overwrite what they said.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()

    def fileno(self) -> int:
        """For subprocess."""
        return self._file.fileno()

    def text(self) -> str:
        """All of it so far."""
        size = os.fstat(self.fileno()).st_size
        return os.pread(self.fileno(), size, 0).decode("utf-8", errors="replace")

    def close(self) -> None:
        """It is gone then."""
        self._file.close()
