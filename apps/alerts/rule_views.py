"""``/v1/alerts``: an account's own rules by API key. Every look-up names the caller's account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpResponse
from rest_framework.request import Request

from apps.alerts import schema, shapes
from apps.alerts.backtest import MAX_DAYS, backtest
from apps.alerts.engine import CONDITION_SCHEMA
from apps.alerts.evaluation import triggered_data, values_now
from apps.alerts.models import AlertRule
from apps.alerts.rules import (
    DEFAULT_COOLDOWN_S,
    checked_condition,
    checked_cooldown,
    rule_create,
    rule_test,
    rule_update,
)
from apps.alerts.selectors import fires_of_account, fires_of_rule, rule_of, rules_of
from apps.alerts.views import AccountView, answer
from apps.alerts.webhooks import checked_object
from apps.core.clock import market_clock
from apps.core.errors import NotFound
from apps.core.params import invalid
from apps.marketdata.clocksync import sync_market_clock

_DEFAULT_DAYS: Final = 7


class RuleView(AccountView):
    def rule(self, rule_id: int) -> AlertRule:
        found = rule_of(self.account.pk, rule_id)
        if found is None:
            raise NotFound("No such alert.")
        return found


class RuleList(RuleView):
    http_method_names = ["get", "post", "head", "options"]

    @schema.rule_list
    def get(self, request: Request) -> HttpResponse:
        return answer({"data": [shapes.rule(one) for one in rules_of(self.account.pk)]})

    @schema.rule_create
    def post(self, request: Request) -> HttpResponse:
        def work() -> tuple[int, Any]:
            return 201, shapes.rule(rule_create(self.account, self.given()))

        return self.done_once(work)


class RuleDetail(RuleView):
    http_method_names = ["get", "patch", "delete", "head", "options"]

    @schema.rule_show
    def get(self, request: Request, rule_id: int) -> HttpResponse:
        return answer(shapes.rule(self.rule(rule_id)))

    @schema.rule_change
    def patch(self, request: Request, rule_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            return 200, shapes.rule(rule_update(self.rule(rule_id), self.given()))

        return self.done_once(work)

    @schema.rule_delete
    def delete(self, request: Request, rule_id: int) -> HttpResponse:
        self.rule(rule_id).delete()
        return HttpResponse(status=204)


class RuleFires(RuleView):
    """The last twenty."""

    http_method_names = ["get", "head", "options"]

    @schema.rule_fires
    def get(self, request: Request, rule_id: int) -> HttpResponse:
        return answer({"data": [shapes.fire(one) for one in fires_of_rule(self.rule(rule_id))]})


class AllFires(RuleView):
    http_method_names = ["get", "head", "options"]

    @schema.all_fires
    def get(self, request: Request) -> HttpResponse:
        return answer({"data": [shapes.fire(one) for one in fires_of_account(self.account.pk)]})


class RuleTest(RuleView):
    """Sends what the alert would say at this moment."""

    http_method_names = ["post", "options"]

    @schema.rule_test
    def post(self, request: Request, rule_id: int) -> HttpResponse:
        def work() -> tuple[int, Any]:
            sent = rule_test(self.rule(rule_id), data_now(self.rule(rule_id)))
            return 202, {"data": [shapes.delivery(one) for one in sent]}

        return self.done_once(work)


class Backtest(RuleView):
    http_method_names = ["post", "options"]

    @schema.backtest
    def post(self, request: Request) -> HttpResponse:
        given = checked_object(self.given(), ("condition", "cooldown_seconds", "days"))
        condition = checked_condition(self.account, given.get("condition"))
        cooldown_s = checked_cooldown(given.get("cooldown_seconds", DEFAULT_COOLDOWN_S))
        days = checked_days(given.get("days", _DEFAULT_DAYS))
        sync_market_clock()
        return answer(backtest(condition, cooldown_s, days, market_clock.now_ms()))


class ConditionSchema(RuleView):
    http_method_names = ["get", "head", "options"]

    @schema.condition_schema
    def get(self, request: Request) -> HttpResponse:
        return answer(CONDITION_SCHEMA)


def checked_days(given: Any) -> int:
    is_integer = isinstance(given, int) and not isinstance(given, bool)
    if not is_integer or not 1 <= given <= MAX_DAYS:
        raise invalid("days", f"an integer from 1 to {MAX_DAYS}", str(given))
    return int(given)


def data_now(rule: AlertRule) -> dict[str, Any]:
    sync_market_clock()
    now = datetime.fromtimestamp(market_clock.now_ms() / 1000, UTC)
    return triggered_data(rule, values_now(rule), now)
