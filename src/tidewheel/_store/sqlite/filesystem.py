"""Is this path on a network file system? SQLite's locks and shared memory cannot be trusted there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_NETWORK: Final = frozenset(
    [
        "nfs",
        "nfs4",
        "nfs3",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afs",
        "afpfs",
        "ncpfs",
        "9p",
        "lustre",
        "ceph",
        "glusterfs",
        "gpfs",
        "beegfs",
        "davfs",
        "webdav",
    ]
)
_NETWORK_FUSE: Final = frozenset(
    ["fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "fuse.ceph", "fuse.davfs"]
)


def network_filesystem(path: Path) -> str | None:
    """The type of the network file system that `path` lies on, or None for a local or unknown one."""
    if sys.platform == "linux":
        mounts = _linux_mounts()
    elif sys.platform == "darwin":
        mounts = _mac_mounts()
    else:
        return "UNC share" if str(path).startswith("\\\\") else None
    best, kind = "", None
    target = os.path.realpath(path)
    for point, name in mounts:
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind if kind in _NETWORK or kind in _NETWORK_FUSE else None


def _linux_mounts() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = (line.split(" ") for line in lines)
    return [(field[1].replace("\\040", " "), field[2]) for field in fields if len(field) > 2]


def _mac_mounts() -> list[tuple[str, str]]:
    try:
        done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    mounts = []
    for line in done.stdout.splitlines():  # "//host/share on /Volumes/share (smbfs, nodev)"
        place, _, rest = line.partition(" (")
        mounts.append((place.partition(" on ")[2], rest.partition(",")[0].rstrip(")")))
    return mounts
