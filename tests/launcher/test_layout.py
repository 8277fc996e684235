"""Where PostgreSQL's files go and as whom it runs: decided from modes and user id alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from focsal.launcher import layout
from focsal.launcher.layout import Placement, ServerUser

NOBODY = ServerUser(65534, 65534, "nobody")
PROGRAM = Path("/srv/clone/.venv/pg/bin/postgres")


def _modes(**closed: int) -> layout.ModeOf:
    """Everything is 0755, but for the folders named by their last part."""

    def mode(path: Path) -> int:
        return stat.S_IFDIR | closed.get(path.name, 0o755)

    return mode


def _place(project: str, uid: int, mode: layout.ModeOf, program: Path = PROGRAM) -> Placement:
    return layout.place(Path(project), program, uid, lambda: NOBODY, mode=mode)


def test_an_ordinary_user_keeps_everything_in_var() -> None:
    placement = _place("/srv/ann/clone", 1000, _modes(ann=0o700))
    assert placement == Placement(Path("/srv/ann/clone/var"), None, False)


def test_root_in_an_open_folder_runs_postgres_as_nobody_there() -> None:
    placement = _place("/srv/clone", 0, _modes())
    assert placement == Placement(Path("/srv/clone/var"), NOBODY, False)


@pytest.mark.parametrize("closed", ["ann", "clone"])
def test_root_in_a_closed_folder_moves_to_var_lib(closed: str) -> None:
    placement = _place("/srv/ann/clone", 0, _modes(**{closed: 0o700}))
    assert placement.folder.parent == Path("/var/lib/focsal")
    assert placement.user == NOBODY
    assert placement.copy_binaries


def test_two_closed_clones_never_share_a_folder() -> None:
    closed = _modes(ann=0o700)
    assert _place("/srv/ann/a", 0, closed).folder != _place("/srv/ann/b", 0, closed).folder
    assert _place("/srv/ann/a", 0, closed).folder == _place("/srv/ann/a", 0, closed).folder


def test_binaries_that_others_cannot_run_are_copied() -> None:
    placement = _place("/srv/clone", 0, _modes(postgres=0o700))
    assert placement.copy_binaries


def test_execute_for_others_is_what_counts_not_read() -> None:
    assert layout.others_can_enter(Path("/a/b"), _modes(a=0o711))
    assert not layout.others_can_enter(Path("/a/b"), _modes(a=0o744))


def test_a_private_folder_stays_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    layout.own_folder(folder, None)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
