# SPDX-License-Identifier: BSD-2-Clause
"""The output of a process while it runs."""

from __future__ import annotations

import os
import tempfile


class Log:
    """A file for the output of processes, readable at any time.

    Processes write at the shared position of the file: seeking would make them overwrite former output.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()

    def fileno(self) -> int:
        """The descriptor, for subprocess."""
        return self._file.fileno()

    def text(self) -> str:
        """The output until now."""
        size = os.fstat(self.fileno()).st_size
        return os.pread(self.fileno(), size, 0).decode("utf-8", errors="replace")

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
