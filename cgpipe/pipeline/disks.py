"""What file systems refuse although POSIX promises it: network, parallel and user-space ones.

What matters is that the content is written, reads back as it was and has its name: that fails, or is done.
Everything else is an extra, and where a file system has none of it, one warning says what is lost.
"""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cgpipe.pipeline.progress import log

# What fsync gives where there is none. Others, EIO and ENOSPC say, tell of content that is lost.
UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS, errno.ENOTTY, errno.EOPNOTSUPP}
UNSUPPORTED |= {errno.EACCES, errno.EPERM, errno.EROFS}
# Of a rename onto a file that another program has open, on Windows shares.
IN_USE = {errno.EACCES, errno.EBUSY, errno.EPERM, errno.ETXTBSY}
# Seconds to wait for that program.
PATIENCE = (0.1, 0.5, 2.0)
LEFT = "hidden files that nobody needs are left behind"
_warned: set[tuple[str, int | None]] = set()


def warn_once(lost: str, error: OSError) -> None:
    """Warn of an extra that is not there, once a process for each extra and reason."""
    if (lost, error.errno) not in _warned:
        _warned.add((lost, error.errno))
        log.warning("the file system refuses an extra (%s): %s", error, lost)


def extra(action: Callable[[], object], lost: str) -> None:
    """Do what is not needed, and warn if it fails."""
    try:
        action()
    except OSError as error:
        warn_once(lost, error)


def flush_file(path: Path) -> None:
    """Bring the content of a file to the disk.

    Raises
    ------
    OSError
        If some of it is lost, and not if the file system cannot be asked.
    """
    try:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warn_once("after a power failure, files that were written last may be cut short", error)


def flush_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, if it takes that."""

    def flush() -> None:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

    extra(flush, "after a power failure, files that were written last may be missing, or old")


def move(file: Path, onto: Path) -> None:
    """Rename a file onto another; waits a while for a program that has that one open.

    Raises
    ------
    OSError
        If it is not renamed.
    """
    moved = file.stat()
    for wait in (*PATIENCE, None):
        try:
            file.replace(onto)
        except OSError as error:
            # NFS may do it, lose the answer, ask again, and hear that there is no such file.
            if error.errno == errno.ENOENT and _is(onto, moved):
                return
            if wait is None or error.errno not in IN_USE:
                raise
            time.sleep(wait)
        else:
            return


def found(folder: Path, pattern: str) -> list[Path]:
    """What nobody needs, by a pattern of names; nothing if the folder cannot be listed."""
    try:
        return list(folder.glob(pattern))
    except OSError as error:
        warn_once(LEFT, error)
        return []


def remove(*files: Path) -> None:
    """Remove what nobody needs, as far as that can be done."""
    for file in files:
        extra(partial(file.unlink, missing_ok=True), LEFT)


def remove_folder(folder: Path) -> None:
    """Remove a folder of files that nobody needs, as far as that can be done.

    NFS leaves `.nfs...` in it for a file that some process still has open.
    """
    remove(*found(folder, "*"))
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        warn_once(LEFT, error)


def lock(number: int, lost: str) -> bool:
    """Lock an open file until this process ends; whether it is this process's now.

    Where files cannot be locked, this warns of what is lost and is true.
    """
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        warn_once(lost, error)
    return True


def room(folder: Path) -> str:
    """How much the disk of a folder, or of the nearest one above that is there, still takes; or nothing."""
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        return f"; {shutil.disk_usage(there).free / 1e6:,.0f} MB are free on its disk"
    except OSError:
        return ""


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except OSError:
        return False
