"""Making and changing webhooks. What comes in is named when it is wrong, and then nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Account
from apps.alerts.addresses import AddressRefused, Target, target_of
from apps.alerts.formats import FORMATS, telegram_chat
from apps.alerts.models import Delivery, Webhook
from apps.alerts.registry import all_types
from apps.alerts.signing import new_secret
from apps.core.errors import LimitReached, TierRequired
from apps.core.params import invalid
from apps.core.sealing import seal, unseal
from apps.marketdata.universe import ASSETS
from apps.tiers.admission import plan_for_layer
from apps.tiers.selectors import layer_plans

MAX_WEBHOOKS: Final = 20
ROTATION: Final = timedelta(hours=24)
LAYER: Final = "L1"
_SECRET: Final = "webhook secret"  # noqa: S105  # the purpose of sealing
_URL: Final = "webhook address"
_NAMED: Final = 12
_FIELDS: Final = ("name", "url", "format", "events", "assets", "is_enabled")


@dataclass(frozen=True, slots=True)
class CreatedWebhook:
    """``secret`` is never readable again."""

    webhook: Webhook
    secret: str


def plan_check(account: Account) -> None:
    """Webhooks and rules come with the API."""
    if LAYER in account.plan.layers:
        return
    required = plan_for_layer(layer_plans(), LAYER)
    raise TierRequired(
        f"The account's plan ({account.plan.slug}) has no webhooks and alerts; "
        f"the {required} plan has them.",
        extra={"required_layer": LAYER, "required_plan": required or None},
    )


@transaction.atomic
def webhook_create(account: Account, given: Mapping[str, Any]) -> CreatedWebhook:
    """``given`` is a request's JSON object: ``url`` is needed, the rest has defaults."""
    plan_check(account)
    fields = {"name": "webhook", "format": "json", "events": [], "assets": [], **_checked(given)}
    if "url" not in fields:
        raise invalid("url", "an https:// address", "none")
    _check_format(fields["format"], fields["url"])
    # One at a time, so that the count holds.
    Account.objects.select_for_update().get(pk=account.pk)
    if Webhook.objects.filter(account=account).count() >= MAX_WEBHOOKS:
        raise LimitReached(f"An account has at most {MAX_WEBHOOKS} webhooks; delete one first.")
    secret = new_secret()
    hook = Webhook(account=account, secret_sealed=seal(secret, _SECRET))
    _put(hook, fields)
    hook.save()
    return CreatedWebhook(hook, secret)


@transaction.atomic
def webhook_update(hook: Webhook, given: Mapping[str, Any]) -> Webhook:
    """Change what is given; enabling one that failed gives it a fresh start."""
    fields = _checked(given)
    locked = Webhook.objects.select_for_update().get(pk=hook.pk)
    _check_format(fields.get("format", locked.format), fields.get("url", url_of(locked)))
    _put(locked, fields)
    if locked.is_enabled:
        locked.disabled_at, locked.disabled_reason = None, ""
    locked.save()
    if not locked.is_enabled:
        _stop_waiting(locked, "the webhook was switched off")
    return locked


@transaction.atomic
def secret_rotate(hook: Webhook) -> CreatedWebhook:
    """A new secret; the old one signs beside it for 24 hours."""
    locked = Webhook.objects.select_for_update().get(pk=hook.pk)
    secret = new_secret()
    locked.previous_sealed = bytes(locked.secret_sealed)
    locked.previous_until = timezone.now() + ROTATION
    locked.secret_sealed = seal(secret, _SECRET)
    locked.save()
    return CreatedWebhook(locked, secret)


@transaction.atomic
def webhook_disable(hook: Webhook, reason: str) -> bool:
    """After it has failed, or by staff: what still waits fails with it and can be sent again.

    False when it was off.
    """
    locked = Webhook.objects.select_for_update().filter(pk=hook.pk, is_enabled=True).first()
    if locked is None:
        return False
    locked.is_enabled = False
    locked.disabled_at, locked.disabled_reason = timezone.now(), reason[:200]
    locked.save()
    _stop_waiting(locked, f"the webhook was switched off: {locked.disabled_reason}"[:200])
    return True


def _stop_waiting(hook: Webhook, note: str) -> None:
    waiting = Delivery.objects.filter(webhook=hook, status=Delivery.Status.PENDING)
    waiting.update(status=Delivery.Status.FAILED, note=note, claim=None, claimed_until=None)


def secrets_of(hook: Webhook) -> list[str]:
    """What signs now, newest first; empty when SECRET_KEY has changed since."""
    found = [unseal(bytes(hook.secret_sealed), _SECRET)]
    if hook.previous_sealed and hook.previous_until and hook.previous_until > timezone.now():
        found.append(unseal(bytes(hook.previous_sealed), _SECRET))
    return [one for one in found if one is not None]


def url_of(hook: Webhook) -> str:
    """Empty when SECRET_KEY has changed since."""
    return unseal(bytes(hook.url_sealed), _URL) or ""


def checked_target(url: str) -> Target:
    return target_of(url, allow_loopback=settings.WEBHOOKS_ALLOW_LOOPBACK)


# --- what comes in ---------------------------------------------------------------------------------------


def checked_object(given: Any, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    """A JSON object of known fields."""
    if not isinstance(given, dict):
        raise invalid("body", "a JSON object", type(given).__name__)
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise invalid("body", f"fields among {', '.join(allowed)}", unknown[0])
    return given


def checked_name(given: Any) -> str:
    if not isinstance(given, str) or not 1 <= len(given.strip()) <= 80 or not given.isprintable():
        raise invalid("name", "1 to 80 printable characters", str(given))
    return given.strip()


def checked_words(name: str, given: Any, allowed: tuple[str, ...]) -> list[str]:
    """A list of known words, each once."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise invalid(name, "a list of names", str(given))
    unknown = [one for one in given if one not in allowed]
    if unknown:
        more = "…" if len(allowed) > _NAMED else ""
        raise invalid(name, f"names among {', '.join(allowed[:_NAMED])}{more}", unknown[0])
    return list(dict.fromkeys(given))


def checked_bool(name: str, given: Any) -> bool:
    if not isinstance(given, bool):
        raise invalid(name, "true or false", str(given))
    return given


def _checked(given: Any) -> dict[str, Any]:
    fields = dict(checked_object(given, _FIELDS))
    if "name" in fields:
        fields["name"] = checked_name(fields["name"])
    if "url" in fields:
        fields["url"] = _checked_url(fields["url"])
    if "format" in fields and fields["format"] not in FORMATS:
        raise invalid("format", f"one of {', '.join(FORMATS)}", str(fields["format"]))
    if "events" in fields:
        names = tuple(one.name for one in all_types())
        fields["events"] = checked_words("events", fields["events"], names)
    if "assets" in fields:
        fields["assets"] = checked_words("assets", fields["assets"], ASSETS)
    if "is_enabled" in fields:
        checked_bool("is_enabled", fields["is_enabled"])
    return fields


def _checked_url(given: Any) -> str:
    if not isinstance(given, str):
        raise invalid("url", "an https:// address", str(given))
    try:
        return checked_target(given.strip()).url
    except AddressRefused as refused:
        expected = str(refused).removeprefix("expected ").partition(", received")[0]
        raise invalid("url", expected, given) from None


def _check_format(format_name: str, url: str) -> None:
    if format_name == Webhook.Format.TELEGRAM and not telegram_chat(url):
        raise invalid(
            "url", "https://api.telegram.org/bot<token>/sendMessage?chat_id=…", "no chat_id"
        )


def _put(hook: Webhook, fields: Mapping[str, Any]) -> None:
    for name in ("name", "format", "events", "assets", "is_enabled"):
        if name in fields:
            setattr(hook, name, fields[name])
    url = fields.get("url", url_of(hook) if hook.pk else "")
    hook.url_sealed = seal(url, _URL)
    hook.url_shown = _shown_url(url, hook.format)


def _shown_url(url: str, format_name: str) -> str:
    """The path of a chat's address is its password, and a query may hold one."""
    target = url.partition("?")[0]
    if format_name == Webhook.Format.JSON:
        return target[:300]
    scheme, _, rest = target.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/…"[:300]
