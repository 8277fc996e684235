"""Deribit's wire messages, one struct each. Field names are Deribit's own; only what we use is listed.

JSON-RPC 2.0: data frames are ``{"method":"subscription","params":{"channel":…,"data":…}}``. Numbers are
bare. Bounds on the types refuse infinities and nonsense in C; what combinations may legally have negative
(prices, volatilities) is checked later, once a message is known to be about a listing of ours. Fields that
Deribit adds are ignored.

Docs: https://docs.deribit.com
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

Ms: TypeAlias = Annotated[int, Meta(ge=0, le=9_000_000_000_000)]
"""Milliseconds since the epoch; the bound keeps nanoseconds inside 64 bits."""
ChangeId: TypeAlias = Annotated[int, Meta(ge=0)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=1e15)]
AnyPrice: TypeAlias = Annotated[float, Meta(ge=-1e15, le=1e15)]
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=80)]
BookAction: TypeAlias = Literal["new", "change", "delete"]
WireLevels: TypeAlias = list[tuple[BookAction, Price, Amount]]

ABSENT: Final = msgspec.Raw()
"""A number that is kept as it was written has no None: absent is empty, null is ``null``."""
HEAD: Final = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
"""How every data frame begins."""


class Book(Struct, gc=False):
    """``book.<instrument>.100ms``: ``type`` is snapshot or change (absent before 2020: a snapshot is what
    has no ``prev_change_id``). Amounts are new absolute sizes in USD (inverse) or coins."""

    instrument_name: Name
    timestamp: Ms
    change_id: ChangeId
    bids: WireLevels
    asks: WireLevels
    type: Literal["snapshot", "change"] | None = None
    prev_change_id: int | None = None


class GroupedBook(Struct, gc=False):
    """``book.<instrument>.none.20.100ms``, and ``public/get_order_book``: a whole book."""

    instrument_name: Name
    timestamp: Ms
    change_id: ChangeId
    bids: list[tuple[Price, Amount]]
    asks: list[tuple[Price, Amount]]


class Trade(Struct, gc=False):
    """An element of ``trades.*``: ``direction`` is the taker's side, ``amount`` USD or coins, ``iv``
    percent. ``liquidation``: T taker, M maker, MT both were liquidated. A combination's own print has
    ``legs``; its legs are printed once more on their own instruments, tagged with ``combo_id``."""

    instrument_name: Name
    trade_id: str
    timestamp: Ms
    price: AnyPrice
    amount: Amount
    direction: str
    index_price: AnyPrice | None = None
    mark_price: AnyPrice | None = None
    iv: AnyPrice | None = None
    liquidation: str | None = None
    block_trade_id: str | None = None
    combo_id: str | None = None
    legs: list[Any] | None = None


class Stats(Struct, gc=False):
    """24 h figures; all null where nothing traded. ``volume`` is in coins."""

    volume: AnyPrice | None = None
    volume_usd: AnyPrice | None = None


class Greeks(Struct, gc=False):
    delta: AnyPrice | None = None
    gamma: AnyPrice | None = None
    vega: AnyPrice | None = None
    theta: AnyPrice | None = None
    rho: AnyPrice | None = None


class Ticker(Struct, gc=False):
    """``ticker.<instrument>.100ms``, ``incremental_ticker``'s first frame, ``public/ticker``.

    ``open_interest`` in USD (inverse futures) or coins. ``current_funding`` is an 8 h rate. Volatilities
    in percent. Prices and volatilities of an empty side are 0.
    """

    instrument_name: Name
    timestamp: Ms
    mark_price: AnyPrice
    open_interest: Amount | None = None
    last_price: AnyPrice | None = None
    index_price: AnyPrice | None = None
    current_funding: msgspec.Raw = ABSENT
    best_bid_price: AnyPrice | None = None
    best_bid_amount: Amount | None = None
    best_ask_price: AnyPrice | None = None
    best_ask_amount: Amount | None = None
    stats: Stats | None = None
    mark_iv: AnyPrice | None = None
    bid_iv: AnyPrice | None = None
    ask_iv: AnyPrice | None = None
    underlying_price: AnyPrice | None = None
    underlying_index: str = ""
    interest_rate: AnyPrice | None = None
    greeks: Greeks | None = None


class Quote(Struct, gc=False):
    """``quote.<instrument>``: best bid and ask."""

    instrument_name: Name
    timestamp: Ms
    best_bid_price: AnyPrice | None = None
    best_bid_amount: Amount | None = None
    best_ask_price: AnyPrice | None = None
    best_ask_amount: Amount | None = None


class Perpetual(Struct, gc=False):
    """``perpetual.<instrument>.100ms``: ``interest`` is the running 8 h rate. The channel names the
    instrument, the message does not."""

    timestamp: Ms
    interest: msgspec.Raw


class OptionMarkRow(Struct, gc=False):
    """An element of ``markprice.options.<index>``: here ``iv`` is a fraction, everywhere else percent."""

    instrument_name: Name
    mark_price: AnyPrice
    iv: AnyPrice
    timestamp: Ms | None = None


class Index(Struct, gc=False):
    """``deribit_price_index.<index>``."""

    index_name: Name
    timestamp: Ms
    price: Price


class Dvol(Struct, gc=False):
    """``deribit_volatility_index.<index>``: percent."""

    index_name: Name
    timestamp: Ms
    volatility: Price


class Bar(Struct, gc=False):
    """``chart.trades.<instrument>.<resolution>``: ``volume`` in coins, ``cost`` in USD. The candle in the
    making; that it has closed shows only in the next one's beginning."""

    tick: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Amount
    cost: Amount


class InstrumentState(Struct, gc=False):
    """``instrument.state.<kind>.<currency>``: created, started, settled, closed, terminated."""

    instrument_name: Name
    timestamp: Ms
    state: str


T = TypeVar("T")


class Params(Struct, Generic[T], gc=False):
    channel: str
    data: T


class Frame(Struct, Generic[T], gc=False):
    params: Params[T]


class Result(Struct, Generic[T], gc=False):
    """A REST or RPC answer."""

    result: T


class RpcError(Struct, gc=False):
    code: int
    message: str = ""
    data: Any = None


class Envelope(Struct, gc=False):
    """Any frame, to find out what it is."""

    method: str | None = None
    id: int | str | None = None
    result: Any = None
    error: RpcError | None = None
    params: msgspec.Raw = ABSENT


class Heartbeat(Struct, gc=False):
    type: str


book_decoder: Final = msgspec.json.Decoder(Frame[Book])
bare_book_decoder: Final = msgspec.json.Decoder(Book)
grouped_book_decoder: Final = msgspec.json.Decoder(Frame[GroupedBook])
trades_decoder: Final = msgspec.json.Decoder(Frame[list[Trade]])
ticker_decoder: Final = msgspec.json.Decoder(Frame[Ticker])
quote_decoder: Final = msgspec.json.Decoder(Frame[Quote])
perpetual_decoder: Final = msgspec.json.Decoder(Frame[Perpetual])
option_marks_decoder: Final = msgspec.json.Decoder(Frame[list[OptionMarkRow]])
index_decoder: Final = msgspec.json.Decoder(Frame[Index])
dvol_decoder: Final = msgspec.json.Decoder(Frame[Dvol])
bar_decoder: Final = msgspec.json.Decoder(Frame[Bar])
state_decoder: Final = msgspec.json.Decoder(Frame[InstrumentState])
rows_decoder: Final = msgspec.json.Decoder(Frame[list[msgspec.Raw]])
envelope_decoder: Final = msgspec.json.Decoder(Envelope)
params_decoder: Final = msgspec.json.Decoder(Params[msgspec.Raw])
heartbeat_decoder: Final = msgspec.json.Decoder(Heartbeat)
trade_decoder: Final = msgspec.json.Decoder(Trade)
option_mark_decoder: Final = msgspec.json.Decoder(OptionMarkRow)
