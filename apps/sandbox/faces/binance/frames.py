"""Stream messages of the market model. Written by hand: this is where the emulator spends its time."""

from __future__ import annotations

from apps.sandbox.faces.binance.sequence import last_id
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.protocol import Book, ForcedOrder, MarkState


def agg_trade(
    listing: Listing, trade_id: int, time_ms: int, price: int, lots: int, is_buy: bool, now_ms: int
) -> bytes:
    size = listing.size(lots)
    maker = "false" if is_buy else "true"
    tail = (
        f'"f":{trade_id},"l":{trade_id},"T":{time_ms},"m":{maker},"st":1}}'
        if listing.is_perp
        else f'"f":{trade_id},"l":{trade_id},"T":{time_ms},"m":{maker},"M":true}}'
    )
    own = f'"nq":"{size}",' if listing.is_perp else ""
    return (
        f'{{"e":"aggTrade","E":{now_ms},"a":{trade_id},"s":"{listing.symbol}",'
        f'"p":"{listing.price(price)}","q":"{size}",{own}{tail}'
    ).encode()


def trade(
    listing: Listing, trade_id: int, time_ms: int, price: int, lots: int, is_buy: bool, now_ms: int
) -> bytes:
    maker = "false" if is_buy else "true"
    tail = '"X":"MARKET","st":1}' if listing.is_perp else '"M":true}'
    return (
        f'{{"e":"trade","E":{now_ms},"T":{time_ms},"s":"{listing.symbol}","t":{trade_id},'
        f'"p":"{listing.price(price)}","q":"{listing.size(lots)}","m":{maker},{tail}'
    ).encode()


def _levels(listing: Listing, levels: list[tuple[int, int]]) -> str:
    price, size = listing.price, listing.size
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
    if listing.is_perp:
        return (
            f'{head}"T":{book.time_ms},"s":"{listing.symbol}",{ids}"pu":{before},{sides},'
            f'"ps":"{listing.symbol}","st":1}}'
        ).encode()
    return f'{head}"s":"{listing.symbol}",{ids}{sides}}}'.encode()


def top_levels(listing: Listing, book: Book, depth: int, now_ms: int) -> bytes:
    """A partial book: the best levels, whole each time."""
    bids = sorted(book.bids.items(), reverse=True)[:depth]
    asks = sorted(book.asks.items())[:depth]
    if listing.is_perp:
        return depth_update(listing, book, book.step - 1, bids, asks, now_ms)
    return (
        f'{{"lastUpdateId":{last_id(listing, book.step)},'
        f'"bids":[{_levels(listing, bids)}],"asks":[{_levels(listing, asks)}]}}'
    ).encode()


def book_ticker(listing: Listing, book: Book, now_ms: int) -> bytes:
    bid, ask = max(book.bids), min(book.asks)
    quote = (
        f'"u":{last_id(listing, book.step)},"s":"{listing.symbol}",'
        f'"b":"{listing.price(bid)}","B":"{listing.size(book.bids[bid])}",'
        f'"a":"{listing.price(ask)}","A":"{listing.size(book.asks[ask])}"'
    )
    if listing.is_perp:
        return (
            f'{{"e":"bookTicker",{quote},"T":{book.time_ms},"E":{now_ms},'
            f'"ps":"{listing.symbol}","st":1}}'
        ).encode()
    return f"{{{quote}}}".encode()


def mark_price(listing: Listing, state: MarkState, now_ms: int) -> bytes:
    """A dated contract has no funding: its rate is empty."""
    rate = f"{state.funding_rate:.8f}" if listing.is_perp else ""
    return (
        f'{{"e":"markPriceUpdate","E":{now_ms},"s":"{listing.symbol}","p":"{state.mark_price:.8f}",'
        f'"i":"{state.index_price:.8f}","P":"{state.settle_price:.8f}","r":"{rate}",'
        f'"T":{state.next_funding_ms},"st":1}}'
    ).encode()


def force_order(listing: Listing, order: ForcedOrder, now_ms: int) -> bytes:
    size, price = listing.size(order.lots), listing.price(order.price)
    side = "BUY" if order.is_buy else "SELL"
    # The order's limit is the bankruptcy price, a little beyond the fill.
    limit = listing.price(order.price * (1.004 if order.is_buy else 0.996))
    return (
        f'{{"e":"forceOrder","E":{now_ms},"o":{{"s":"{listing.symbol}","S":"{side}","o":"LIMIT",'
        f'"f":"IOC","q":"{size}","p":"{limit}","ap":"{price}","X":"FILLED","l":"{size}",'
        f'"z":"{size}","T":{order.time_ms},"ps":"{listing.symbol}","st":1}}}}'
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


def ticker(listing: Listing, day: dict[str, object], now_ms: int) -> bytes:
    """``day`` is the REST 24 h answer."""
    tail = ',"st":1}' if listing.is_perp else "}"
    return (
        f'{{"e":"24hrTicker","E":{now_ms},"s":"{listing.symbol}","p":"{day["priceChange"]}",'
        f'"P":"{day["priceChangePercent"]}","w":"{day["weightedAvgPrice"]}","c":"{day["lastPrice"]}",'
        f'"Q":"{day["lastQty"]}","o":"{day["openPrice"]}","h":"{day["highPrice"]}",'
        f'"l":"{day["lowPrice"]}","v":"{day["volume"]}","q":"{day["quoteVolume"]}",'
        f'"O":{day["openTime"]},"C":{day["closeTime"]},"F":{day["firstId"]},"L":{day["lastId"]},'
        f'"n":{day["count"]}{tail}'
    ).encode()
