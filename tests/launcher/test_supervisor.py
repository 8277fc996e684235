"""supervisord's configuration: escaping, stop order, grace, and what it makes of it."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest

from focsal.launcher import supervisor
from focsal.launcher.errors import LauncherError
from focsal.launcher.layout import ServerUser
from focsal.launcher.programs import Program

NAMES = ("web", "ingest", "worker", "beat", "sandbox", "redis", "postgres")


def _render(*programs: Program, folder: Path = Path("/srv/focsal")) -> configparser.RawConfigParser:
    control = supervisor.Control(folder / "run" / "supervisor.sock", "se%cret")
    text = supervisor.render(programs, control, folder / "log", folder / "run", as_root=False)
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return parser


def _all() -> configparser.RawConfigParser:
    return _render(*(Program(name, [f"/bin/{name}"], Path("/srv")) for name in NAMES))


def test_groups_stop_from_web_to_postgres() -> None:
    config = _all()
    priorities = {
        section.removeprefix("group:"): config.getint(section, "priority")
        for section in config.sections()
        if section.startswith("group:")
    }
    # supervisord stops the highest priority first, one group after the other.
    assert sorted(priorities, key=lambda name: -priorities[name]) == [
        "web",
        "pipeline",
        "sandbox",
        "redis",
        "postgres",
    ]
    assert config.get("group:pipeline", "programs") == "ingest,worker,beat"


def test_every_program_is_restarted_and_has_35_seconds_to_stop() -> None:
    config = _all()
    for name in NAMES:
        section = f"program:{name}"
        assert config.getint(section, "stopwaitsecs") == 35
        assert config.getboolean(section, "autorestart")
        assert not config.getboolean(section, "autostart")
        assert config.getboolean(section, "killasgroup")
        assert config.get(section, "stdout_logfile_maxbytes") == "10MB"


def test_unknown_processes_stop_with_the_pipeline() -> None:
    assert supervisor.group_of("alerts") == "pipeline"
    assert supervisor.group_of("web") == "web"


def test_percent_signs_and_spaces_survive() -> None:
    folder = Path("/srv/my 100% clone")
    program = Program("web", ["/bin/serve", "a b", "50%"], folder, {"NAME": "x%y"})
    config = _render(program, folder=folder)
    command = config.get("program:web", "command").replace("%%", "%")
    assert shlex.split(command)[-3:] == ["/bin/serve", "a b", "50%"]
    assert "%(" not in config.get("program:web", "command")
    assert config.get("program:web", "directory") == "/srv/my 100%% clone"
    assert config.get("program:web", "environment") == 'NAME="x%%y"'
    assert config.get("unix_http_server", "password") == "se%%cret"


@pytest.mark.parametrize("text", ["a ;b", "a #b", "a\nb"])
def test_it_refuses_values_supervisord_would_cut(text: str) -> None:
    with pytest.raises(LauncherError, match="supervisord cannot take"):
        supervisor.value(text)


@pytest.mark.parametrize("text", ['say "x"', "back\\slash"])
def test_it_refuses_environment_values_supervisord_would_change(text: str) -> None:
    with pytest.raises(LauncherError, match="quotes or backslashes in NAME"):
        supervisor.environment({"NAME": text})


def test_the_wrapper_gives_up_root_and_hides_secrets() -> None:
    user = ServerUser(65534, 65534, "nobody")
    program = Program(
        "postgres", ["/pg/postgres"], Path("/"), stop_signal="INT", user=user, bare=True
    )
    command = program.command()
    assert command[command.index("--user") + 1] == "65534:65534"
    assert "SECRET_KEY" not in command[command.index("--bare") + 1].split(",")
    assert command[-3:] == ["SIGINT", "--", "/pg/postgres"]


def test_a_deep_clone_gets_a_short_control_socket(tmp_path: Path) -> None:
    short = Path("/tmp/focsal-x")
    assert supervisor.socket_path(Path("/srv/run"), short) == Path("/srv/run/supervisor.sock")
    deep = Path("/srv") / ("d" * 90)
    assert supervisor.socket_path(deep, short) == short / "supervisor.sock"
