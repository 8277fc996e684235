"""The environment of the processes, ports, and the messages for what is wrong with them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from focsal.launcher import environment, ports, postgres
from focsal.launcher.environment import Addresses
from focsal.launcher.errors import LauncherError

EMBEDDED = Addresses("postgres://focsal:pw@127.0.0.1:1/focsal", "", "redis://:pw@127.0.0.1:2/0")


def _common(given: dict[str, str]) -> dict[str, str]:
    return environment.common(
        given,
        project=Path("/srv/clone"),
        kind="development",
        market="sandbox",
        where=environment.addresses(given, "sandbox", EMBEDDED),
        instance="abc",
        secret_key="generated",
        sandbox_port=20_000,
    )


def test_processes_get_the_embedded_servers_and_no_debug() -> None:
    variables = _common({"DJANGO_DEBUG": "1", "PATH": "/usr/bin", "REDIS_CACHE_URL": "redis://x"})
    assert variables["DATABASE_URL"] == EMBEDDED.database
    assert variables["MARKET_DATABASE_URL"] == f"{EMBEDDED.database}_sandbox"
    assert variables["REDIS_URL"] == EMBEDDED.redis
    assert variables["FOCSAL_ENV"] == "development"
    assert variables["OMP_NUM_THREADS"] == "1"
    assert variables["PATH"].endswith(f"{os.pathsep}/usr/bin")
    assert "DJANGO_DEBUG" not in variables
    assert "REDIS_CACHE_URL" not in variables


def test_given_addresses_replace_the_embedded_servers() -> None:
    given = {
        "DATABASE_URL": "postgres://me@db:5432/mine?sslmode=require",
        "REDIS_URL": "redis://r:6379/3",
        "REDIS_CACHE_URL": "redis://c:6379/0",
        "FOCSAL_REPLAY_SPEED": "2",
    }
    variables = _common(given)
    assert variables["DATABASE_URL"] == given["DATABASE_URL"]
    assert variables["MARKET_DATABASE_URL"] == "postgres://me@db:5432/mine_sandbox?sslmode=require"
    assert variables["REDIS_URL"] == "redis://r:6379/3"
    assert variables["REDIS_CACHE_URL"] == "redis://c:6379/0"
    assert variables["FOCSAL_REPLAY_SPEED"] == "2"


def test_captures_are_found_from_the_project_folder() -> None:
    assert _common({"FOCSAL_CAPTURES": "../shared"})["FOCSAL_CAPTURES"] == "/srv/shared"


def test_database_urls_become_connection_parameters() -> None:
    url = "postgres://me:p%40ss@db:6543/mine?sslmode=require&conn_max_age=60"
    assert postgres.connection_parameters(url) == {
        "host": "db",
        "port": 6543,
        "user": "me",
        "password": "p@ss",
        "dbname": "mine",
        "connect_timeout": 5,
        "sslmode": "require",
    }
    with pytest.raises(LauncherError, match="expected a database URL"):
        postgres.connection_parameters("mysql://me@db/mine")


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "80.5"])
def test_a_bad_port_is_named(text: str) -> None:
    with pytest.raises(LauncherError, match=f"PORT must be a number from 1 to 65535, got '{text}'"):
        environment.web_port({"PORT": text})


def test_an_unknown_market_is_named() -> None:
    with pytest.raises(LauncherError, match="sandbox, replay, live, got 'paper'"):
        environment.market_of({"FOCSAL_MARKET": "paper"})


@pytest.mark.parametrize(
    ("host", "bound"),
    [("", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("x86_64-conda-linux-gnu", "127.0.0.1")],
)
def test_host_is_an_address_or_is_ignored(host: str, bound: str) -> None:
    assert environment.bind_host({"HOST": host}) == bound


def test_a_taken_port_says_which_and_what_to_do() -> None:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(LauncherError) as caught:
            ports.require_free(port)
    assert f"port {port} on 127.0.0.1 is already in use" in str(caught.value)
    assert f"make run PORT={port + 1}" in str(caught.value)
    ports.require_free(port)


def test_a_kept_port_is_preferred_while_it_is_free() -> None:
    assert ports.free_port(20_500, free=lambda _port: True) == 20_500
    assert ports.free_port(20_500, free=lambda port: port != 20_500) != 20_500
    assert ports.free_port(20_500, taken=frozenset({20_500}), free=lambda _port: True) != 20_500


def test_a_block_of_ports_is_free_as_a_whole() -> None:
    first = ports.free_port(20_500, block=10, free=lambda port: not 20_505 <= port <= 20_510)
    assert not set(range(first, first + 10)) & set(range(20_505, 20_511))


def test_without_free_ports_it_says_so() -> None:
    with pytest.raises(LauncherError, match="found no 10 free ports"):
        ports.free_port(block=10, free=lambda _port: False)


def test_ports_lie_below_those_of_outgoing_connections() -> None:
    first = Path("/proc/sys/net/ipv4/ip_local_port_range")
    limit = int(first.read_text().split()[0]) if first.exists() else 32_768
    assert ports.LOWEST <= ports.free_port() < max(limit, 32_768)
