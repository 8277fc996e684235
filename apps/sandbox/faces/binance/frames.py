"""Stream messages of the market model. Written by hand: this is where the emulator spends its time."""

from __future__ import annotations

from apps.sandbox.faces.binance.sequence import last_id
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import Book, ForcedOrder, MarkState

UM, CM = 1, 2


def market_of(listing: Listing) -> int:
    """``st``: 1 for contracts margined in stablecoins, 2 for coin-margined ones."""
    return CM if listing.is_inverse else UM


def pair_of(listing: Listing) -> str:
    """``ps``: a coin-margined contract's is its pair."""
    return listing.symbol.partition("_")[0] if listing.is_inverse else listing.symbol


def quantity(listing: Listing, ticks: float, lots: float) -> str:
    """Coins; of coin-margined contracts their number, each worth a fixed amount of USD."""
    if not listing.is_inverse:
        return listing.size(lots)
    worth = ticks * listing.tick * lots * listing.lot
    return str(max(1, round(worth / listing.contract_size)) if lots else 0)


def agg_trade(
    listing: Listing, trade_id: int, time_ms: int, price: int, lots: int, is_buy: bool, now_ms: int
) -> bytes:
    size = quantity(listing, price, lots)
    maker = "false" if is_buy else "true"
    is_futures = listing.kind != "spot"
    tail = (
        f'"f":{trade_id},"l":{trade_id},"T":{time_ms},"m":{maker},"st":{market_of(listing)}}}'
        if is_futures
        else f'"f":{trade_id},"l":{trade_id},"T":{time_ms},"m":{maker},"M":true}}'
    )
    own = f'"nq":"{size}",' if is_futures else ""
    return (
        f'{{"e":"aggTrade","E":{now_ms},"a":{trade_id},"s":"{listing.symbol}",'
        f'"p":"{listing.price(price)}","q":"{size}",{own}{tail}'
    ).encode()


def trade(
    listing: Listing, trade_id: int, time_ms: int, price: int, lots: int, is_buy: bool, now_ms: int
) -> bytes:
    maker = "false" if is_buy else "true"
    deal = (
        f'"s":"{listing.symbol}","t":{trade_id},'
        f'"p":"{listing.price(price)}","q":"{quantity(listing, price, lots)}"'
    )
    if listing.kind == "spot":
        return (f'{{"e":"trade","E":{now_ms},{deal},"T":{time_ms},"m":{maker},"M":true}}').encode()
    return (
        f'{{"e":"trade","E":{now_ms},"T":{time_ms},{deal},'
        f'"X":"MARKET","m":{maker},"st":{market_of(listing)}}}'
    ).encode()


def _levels(listing: Listing, levels: list[tuple[int, int]]) -> str:
    price, size = listing.price, listing.size
    if listing.is_inverse:
        return ",".join(
            [f'["{price(ticks)}","{quantity(listing, ticks, lots)}"]' for ticks, lots in levels]
        )
    return ",".join([f'["{price(ticks)}","{size(lots)}"]' for ticks, lots in levels])


def depth_update(
    listing: Listing,
    book: Book,
    previous_step: int,
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    now_ms: int,
) -> bytes:
    before = last_id(listing, previous_step)
    head = f'{{"e":"depthUpdate","E":{now_ms},'
    ids = f'"U":{before + 1},"u":{last_id(listing, book.step)},'
    sides = f'"b":[{_levels(listing, bids)}],"a":[{_levels(listing, asks)}]'
    if listing.kind != "spot":
        return (
            f'{head}"T":{book.time_ms},"s":"{listing.symbol}",{ids}"pu":{before},{sides},'
            f'"ps":"{pair_of(listing)}","st":{market_of(listing)}}}'
        ).encode()
    return f'{head}"s":"{listing.symbol}",{ids}{sides}}}'.encode()


def top_levels(listing: Listing, book: Book, depth: int, now_ms: int) -> bytes:
    """A partial book: the best levels, whole each time."""
    bids = sorted(book.bids.items(), reverse=True)[:depth]
    asks = sorted(book.asks.items())[:depth]
    if listing.kind != "spot":
        return depth_update(listing, book, book.step - 1, bids, asks, now_ms)
    return (
        f'{{"lastUpdateId":{last_id(listing, book.step)},'
        f'"bids":[{_levels(listing, bids)}],"asks":[{_levels(listing, asks)}]}}'
    ).encode()


def book_ticker(listing: Listing, book: Book, now_ms: int) -> bytes:
    bid, ask = max(book.bids), min(book.asks)
    quote = (
        f'"u":{last_id(listing, book.step)},"s":"{listing.symbol}",'
        f'"b":"{listing.price(bid)}","B":"{quantity(listing, bid, book.bids[bid])}",'
        f'"a":"{listing.price(ask)}","A":"{quantity(listing, ask, book.asks[ask])}"'
    )
    if listing.kind != "spot":
        return (
            f'{{"e":"bookTicker",{quote},"T":{book.time_ms},"E":{now_ms},'
            f'"ps":"{pair_of(listing)}","st":{market_of(listing)}}}'
        ).encode()
    return f"{{{quote}}}".encode()


def mark_price(listing: Listing, state: MarkState, now_ms: int) -> bytes:
    """A dated contract has no funding: its rate is empty."""
    rate = f"{state.funding_rate:.8f}" if listing.is_perp else ""
    return (
        f'{{"e":"markPriceUpdate","E":{now_ms},"s":"{listing.symbol}","p":"{state.mark_price:.8f}",'
        f'"P":"{state.settle_price:.8f}","i":"{state.index_price:.8f}","r":"{rate}",'
        f'"T":{state.next_funding_ms},"st":{market_of(listing)}}}'
    ).encode()


def force_order(listing: Listing, order: ForcedOrder, now_ms: int) -> bytes:
    size, price = quantity(listing, order.price, order.lots), listing.price(order.price)
    side = "BUY" if order.is_buy else "SELL"
    # The order's limit is the bankruptcy price, a little beyond the fill.
    limit = listing.price(order.price * (1.004 if order.is_buy else 0.996))
    return (
        f'{{"e":"forceOrder","E":{now_ms},"o":{{"s":"{listing.symbol}","S":"{side}","o":"LIMIT",'
        f'"f":"IOC","q":"{size}","p":"{limit}","ap":"{price}","X":"FILLED","l":"{size}",'
        f'"z":"{size}","T":{order.time_ms},"ps":"{pair_of(listing)}",'
        f'"st":{market_of(listing)}}}}}'
    ).encode()


def kline(listing: Listing, row: list[object], interval: str, first_id: int, now_ms: int) -> bytes:
    """``row`` is the REST candle."""
    open_ms, o, h, low, c, volume, close_ms, quote, trades, buy, buy_quote, _ = row
    closed = "true" if now_ms > int(str(close_ms)) else "false"
    return (
        f'{{"e":"kline","E":{now_ms},"s":"{listing.symbol}","k":{{"t":{open_ms},"T":{close_ms},'
        f'"s":"{listing.symbol}","i":"{interval}","f":{first_id},"L":{first_id + int(str(trades)) - 1},'
        f'"o":"{o}","c":"{c}","h":"{h}","l":"{low}","v":"{volume}","n":{trades},"x":{closed},'
        f'"q":"{quote}","V":"{buy}","Q":"{buy_quote}","B":"0"}}}}'
    ).encode()


def _day_amounts(listing: Listing, day: dict[str, object]) -> tuple[object, object]:
    """Volume and turnover: coins and quote currency; contracts and coins when coin-margined."""
    if not listing.is_inverse:
        return day["volume"], day["quoteVolume"]
    return round(float(str(day["quoteVolume"])) / listing.contract_size), day["volume"]


def ticker(
    listing: Listing, day: dict[str, object], now_ms: int, quote: tuple[str, str, str, str]
) -> bytes:
    """``day`` is the REST 24 h answer; ``quote`` (bid, size, ask, size) is told on spot only."""
    is_spot = listing.kind == "spot"
    tail = "}" if is_spot else f',"st":{market_of(listing)}}}'
    before = f'"x":"{day["openPrice"]}",' if is_spot else ""
    touch = '"b":"{}","B":"{}","a":"{}","A":"{}",'.format(*quote) if is_spot else ""
    volume, turnover = _day_amounts(listing, day)
    return (
        f'{{"e":"24hrTicker","E":{now_ms},"s":"{listing.symbol}","p":"{day["priceChange"]}",'
        f'"P":"{day["priceChangePercent"]}","w":"{day["weightedAvgPrice"]}",{before}'
        f'"c":"{day["lastPrice"]}","Q":"{day["lastQty"]}",{touch}"o":"{day["openPrice"]}",'
        f'"h":"{day["highPrice"]}","l":"{day["lowPrice"]}","v":"{volume}","q":"{turnover}",'
        f'"O":{day["openTime"]},"C":{day["closeTime"]},"F":{day["firstId"]},"L":{day["lastId"]},'
        f'"n":{day["count"]}{tail}'
    ).encode()


def mini_ticker(listing: Listing, day: dict[str, object], now_ms: int) -> bytes:
    volume, turnover = _day_amounts(listing, day)
    tail = "}" if listing.kind == "spot" else f',"st":{market_of(listing)}}}'
    return (
        f'{{"e":"24hrMiniTicker","E":{now_ms},"s":"{listing.symbol}","c":"{day["lastPrice"]}",'
        f'"o":"{day["openPrice"]}","h":"{day["highPrice"]}","l":"{day["lowPrice"]}",'
        f'"v":"{volume}","q":"{turnover}"{tail}'
    ).encode()


def contract_info(listing: Listing, status: str, listed_ms: int, now_ms: int) -> bytes:
    """A contract was listed or delivered."""
    kind = "PERPETUAL" if listing.is_perp else "CURRENT_QUARTER"
    return (
        f'{{"e":"contractInfo","E":{now_ms},"s":"{listing.symbol}",'
        f'"ps":"{listing.symbol.partition("_")[0]}","ct":"{kind}","dt":{listing.expiry_ms or 0},'
        f'"ot":{listed_ms},"cs":"{status}","bks":[],"st":{market_of(listing)}}}'
    ).encode()
