"""Which plan may read which layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.core import errors
from apps.tiers.admission import Admission, plan_for_layer
from apps.tiers.headers import MISSING_KEY_DETAIL, tier_required

if TYPE_CHECKING:
    # DRF imports this module while its views are still loading.
    from rest_framework.views import APIView


class LayerPermission(BasePermission):
    """The view's ``layer`` ("L1" … "L4") must be in the caller's layers; views without one need a caller."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        admission = request.auth
        if not isinstance(admission, Admission):
            raise errors.MissingApiKey(MISSING_KEY_DETAIL)
        layer: str | None = getattr(view, "layer", None)
        if layer is not None and layer not in admission.layers:
            raise _denied(admission, layer)
        return True


def _denied(admission: Admission, layer: str) -> errors.FocsalError:
    required = plan_for_layer(admission.layer_plans, layer)
    return tier_required(replace(admission, required_plan=required), layer)
