"""Process 1 of a container: starts the worker as its child, passes signals on to it, and reaps orphans.

The kernel gives each orphan of a container to its process 1. A worker must not reap them itself: it would take the exit
codes of those that a handler has started and waits for.
"""

import os
import signal
import sys

#: What a container runtime, a kubelet or a person sends to a process 1.
_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
#: siginfo's si_code of a signal of the terminal's, which the worker gets by itself (asm-generic/siginfo.h).
_SI_KERNEL = 0x80


def fork_worker() -> None:
    """In process 1: fork, return in the child only, and end with its exit code. In another process: do nothing."""
    if os.getpid() != 1:
        return
    watched = {*_PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker:
        os._exit(_watch(worker, watched))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(worker: int, watched: set[signal.Signals]) -> int:
    """Until the worker ends; its exit code, 128 and the signal's number when one killed it."""
    if sys.platform != "linux":
        raise NotImplementedError("only Linux has containers, and sigwaitinfo")
    while True:
        came = signal.sigwaitinfo(watched)
        if came.si_signo != signal.SIGCHLD:
            if came.si_code != _SI_KERNEL:
                os.kill(worker, came.si_signo)
        elif (status := _reap(worker)) is not None:
            exit_code = os.waitstatus_to_exitcode(status)
            return exit_code if exit_code >= 0 else 128 - exit_code


def _reap(worker: int) -> int | None:
    """Take the exit code of every child that has ended: one SIGCHLD may stand for several. Says the worker's."""
    while True:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == worker:
            return status
        if process == 0:
            return None
