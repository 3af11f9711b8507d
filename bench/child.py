# SPDX-License-Identifier: BSD-2-Clause
"""Child processes."""

import os
import subprocess
import time
from typing import Optional


class Child(subprocess.Popen[bytes]):
    """A child process in a program whose signal handlers raise exceptions.

    Popen's poll(), send_signal() and wait() with a time limit take a lock before their `try`. An exception
    from a signal handler in between leaves it locked, and the next wait() never returns. These do without it.
    """

    def has_ended(self) -> bool:
        """Return whether it has ended."""
        return (
            self.returncode is not None
            or os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def poll(self) -> Optional[int]:
        """Return the exit status, or None while it runs."""
        return self.wait() if self.has_ended() else None

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it was reaped."""
        if self.returncode is None:
            os.kill(self.pid, sig)

    def wait(self, timeout: Optional[float] = None) -> int:
        """Wait for its end. Return: the exit status."""
        if timeout is not None:
            end = time.monotonic() + timeout
            while not self.has_ended():
                if time.monotonic() > end:
                    raise subprocess.TimeoutExpired(self.args, timeout)
                time.sleep(0.002)
        return super().wait()
