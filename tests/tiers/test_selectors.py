"""Reading plans."""

from __future__ import annotations

import pytest

from apps.tiers.models import Plan
from apps.tiers.selectors import layer_plans, plan_for
from tests.customers import make_account


@pytest.mark.django_db
def test_plan_for_is_the_accounts_plan() -> None:
    account = make_account("enterprise")
    assert plan_for(account.pk).name == "Enterprise"
    with pytest.raises(Plan.DoesNotExist):
        plan_for(account.pk + 1)


@pytest.mark.django_db
def test_each_layer_recommends_its_cheapest_plan() -> None:
    make_account("pro")
    assert layer_plans() == "L1=Pro,L2=Enterprise,L3=Enterprise,L4=Enterprise"
    Plan.objects.filter(slug="enterprise").update(price_usd_month=1, name="Big, and=odd")
    assert layer_plans().startswith("L1=Big  and odd,")
