"""Query parameters: strict about what is wrong, kind about how right is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidParameter
from apps.core.params import MAX_QUERY_CHARS, QueryParams, request_cost

ALLOWED = ("asset", "assets", "flag", "limit", "from", "interval")


def parse(raw: str) -> QueryParams:
    return QueryParams.parse(raw, ALLOWED)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1", "yes"])
def test_it_reads_every_spelling_of_true(text: str) -> None:
    assert parse(f"flag={text}").boolean("flag", False) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no"])
def test_it_reads_every_spelling_of_false(text: str) -> None:
    assert parse(f"flag={text}").boolean("flag", True) is False


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2026-05-17T20:14:33Z", 1_779_048_873_000),
        ("2026-05-17T20:14:33.250Z", 1_779_048_873_250),
        ("2026-05-17T22:14:33%2B02:00", 1_779_048_873_000),
        ("2026-05-17T22:14:33+02:00", 1_779_048_873_000),
        ("2026-05-17T20:14", 1_779_048_840_000),
        ("2026-05-17 20:14", 1_779_048_840_000),
        ("2026-05-17", 1_778_976_000_000),
        ("1779048873", 1_779_048_873_000),
        ("1779048873.5", 1_779_048_873_500),
        ("1779048873000", 1_779_048_873_000),
    ],
)
def test_it_reads_moments(text: str, expected_ms: int) -> None:
    assert parse(f"from={text}").timestamp_ms("from") == expected_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01",
        "2026-05-17T25:00Z",
        "1",
        "99999999999999999",
        "-5",
        "NaN",
        "1e9",
        "٣",
    ],
)
def test_it_refuses_what_is_no_moment(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse(f"from={text}").timestamp_ms("from")
    assert caught.value.param == "from"
    assert caught.value.extra["received"] == text


@pytest.mark.parametrize("text", ["0", "-1", "5001", "1.5", "abc", "9" * 400, "", "1_000", "٥"])
def test_it_refuses_limits_out_of_range(text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse(f"limit={text}").integer("limit", 500, minimum=1, maximum=5000)
    assert caught.value.param == "limit"
    assert caught.value.extra["expected"] == "an integer from 1 to 5000"


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        ("colour=red", "colour"),
        ("asset=BTC&asset=ETH", "asset"),
        ("asset=B%00TC", "asset"),
        ("asset=%ff%fe", "query"),
        ("%ff=BTC", "query"),
        ("asset=" + "A" * 10_240, "query"),
        ("&".join(f"a{n}=1" for n in range(200)), "query"),
    ],
)
def test_it_names_what_is_wrong_with_a_query(raw: str, param: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse(raw)
    assert caught.value.param == param
    assert "expected" in caught.value.extra
    assert len(caught.value.detail) < 300


def test_it_splits_names_and_keeps_their_order() -> None:
    assert parse("assets=ETH,BTC, ETH").names("assets") == ["ETH", "BTC"]
    with pytest.raises(InvalidParameter):
        parse("assets=BTC,,ETH").names("assets")


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused(raw: str) -> None:
    try:
        params = parse(raw)
    except InvalidParameter as error:
        error.detail.encode()
        named = error.param
    else:
        named = ""
        assert set(params.values) <= set(ALLOWED)
    assert named is not None


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("", 1),
        ("asset=BTC", 1),
        ("assets=BTC,ETH", 1),
        ("assets=" + ",".join(f"A{n}" for n in range(10)), 1),
        ("assets=" + ",".join(f"A{n}" for n in range(11)), 2),
        ("assets=*", 7),
        ("assets=%2A", 7),
        ("asset=BTC&from=2026-01-01&limit=5000", 1),
        ("assets=BTC,ETH&from=2026-01-01&limit=5000", 2),
        ("assets=*&limit=5000", 7),
        ("assets=%ff", 1),
        ("assets=" + "A," * (MAX_QUERY_CHARS), 1),
    ],
)
def test_cost(query: str, cost: int) -> None:
    assert request_cost("/v1/markets/funding", query) == cost


@given(st.text(max_size=300), st.text(max_size=40))
def test_cost_never_raises(query: str, path: str) -> None:
    assert 1 <= request_cost(path, "assets=" + query) <= 100
