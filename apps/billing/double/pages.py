"""The double's own pages, plainly marked: a checkout and a portal in which no money moves."""

from __future__ import annotations

from html import escape
from typing import Final

from apps.billing.double.state import Object

_FRAME: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem; }}
.mark {{ background: #ffe9c7; border: 2px dashed #a1480f; padding: .6rem 1rem; font-weight: 700; }}
button {{ padding: .6rem 1.2rem; font: inherit; margin: .3rem .4rem .3rem 0; cursor: pointer; }}
form {{ display: inline; }} .price {{ font-size: 1.8rem; font-weight: 700; }}</style></head>
<body><p class="mark">TEST CHECKOUT &mdash; no money moves</p><h1>{title}</h1>{body}</body></html>"""


def page(title: str, body: str) -> str:
    return _FRAME.format(title=escape(title), body=body)


def button(action: str, label: str, **fields: str) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )
    return f'<form method="post" action="{escape(action)}">{hidden}<button>{escape(label)}</button></form>'


def checkout(session: Object, product: Object, price: Object) -> str:
    amount = f"{price['unit_amount'] / 100:.2f} {price['currency'].upper()}"
    if session["status"] != "open":
        return page("Checkout", f"<p>This session is {escape(session['status'])}.</p>")
    return page(
        f"Subscribe to {product['name']}",
        f'<p class="price">{amount} a month</p>'
        + button(f"/checkout/{session['id']}/pay", "Pay with the test card")
        + button(f"/checkout/{session['id']}/cancel", "Go back without paying"),
    )


def portal(session: Object, subscriptions: list[Object], prices: list[tuple[Object, str]]) -> str:
    address = f"/portal/{session['id']}"
    parts = []
    for held in subscriptions:
        parts.append(f"<h2>{escape(held['id'])}: {held['status']}</h2>")
        if held["status"] == "canceled":
            continue
        current = held["items"]["data"][0]["price"]["id"]
        for price, name in prices:
            if price["id"] != current:
                parts.append(
                    button(
                        address, f"Change to {name}", do="change", of=held["id"], price=price["id"]
                    )
                )
        for action, label in (
            ("cancel", "Cancel now"),
            ("cancel_later", "Cancel at period end"),
            ("resume", "Do not cancel"),
            ("renew", "Renew, payment works"),
            ("fail", "Renew, payment fails"),
            ("settle", "Pay what is overdue"),
            ("refund", "Refund the last payment"),
        ):
            parts.append(button(address, label, do=action, of=held["id"]))
    parts.append("<h2>Tax id</h2>" + button(address, "Add EU VAT PL1234567890", do="tax_id", of=""))
    back = escape(session["return_url"] or "/")
    parts.append(f'<p><a href="{back}">Back to FOCSAL</a></p>')
    return page("Manage your subscription", "".join(parts))


def invoice(found: Object) -> str:
    amount = f"{found['amount_due'] / 100:.2f} {found['currency'].upper()}"
    return page(
        f"Invoice {found['number']}", f'<p class="price">{amount}</p><p>{found["status"]}</p>'
    )
