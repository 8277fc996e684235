"""What we keep of Stripe's objects: enough to decide, to show and to reconcile; Stripe holds the truth."""

from __future__ import annotations

from django.db import models


class BillingCustomer(models.Model):
    """An account as Stripe knows it."""

    account = models.OneToOneField(
        "accounts.Account", on_delete=models.PROTECT, related_name="billing_customer"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    tax_ids = models.JSONField(default=list, blank=True)
    # Stripe has it no more; whoever buys again becomes a new one there.
    deleted_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.stripe_id


class PlanPrice(models.Model):
    """The recurring price that Stripe has for a plan row; a changed row gets a new one."""

    plan = models.ForeignKey("tiers.Plan", on_delete=models.PROTECT, related_name="prices")
    product_id = models.CharField(max_length=64)
    price_id = models.CharField(max_length=64, unique=True)
    amount_cents = models.PositiveIntegerField()
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["plan"], condition=models.Q(is_current=True), name="plan_price_current"
            )
        ]

    def __str__(self) -> str:
        return self.price_id


class BillingSubscription(models.Model):
    """A subscription as it was when last fetched. ``provisioned_at`` marks the first key as made."""

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.PROTECT, related_name="subscriptions"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    status = models.CharField(max_length=24)
    plan = models.ForeignKey("tiers.Plan", on_delete=models.PROTECT, null=True, related_name="+")
    # What it pays by; empty until it is fetched again when it was kept by an older version.
    price_id = models.CharField(max_length=64, blank=True)
    current_period_end = models.DateTimeField(null=True)
    cancel_at_period_end = models.BooleanField(default=False)
    trial_end = models.DateTimeField(null=True)
    past_due_since = models.DateTimeField(null=True)
    provisioned_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    fetched_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.stripe_id} {self.status}"


class PriceMove(models.Model):
    """One subscription on its way to a price that its customer was told of.

    It moves at ``due_at``: on the change's day, or 30 days after ``told_at`` for who came later.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting"
        MOVED = "moved", "moved"
        LEFT = "left", "left as it is"

    change = models.ForeignKey(
        "tiers.PlanChange", on_delete=models.PROTECT, related_name="price_moves"
    )
    subscription = models.ForeignKey(
        BillingSubscription, on_delete=models.PROTECT, related_name="price_moves"
    )
    from_cents = models.PositiveIntegerField()
    to_cents = models.PositiveIntegerField()
    told_at = models.DateTimeField()
    due_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    note = models.CharField(max_length=120, blank=True)
    moved_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ("-due_at", "-pk")
        constraints = [
            models.UniqueConstraint(
                fields=["change", "subscription"], name="price_move_once_a_change"
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="price_move_due", condition=models.Q(status="waiting")
            )
        ]

    def __str__(self) -> str:
        return f"{self.subscription.stripe_id} to {self.to_cents / 100:.2f}"


class BillingInvoice(models.Model):
    """An invoice or its refund, as the dashboard shows it."""

    account = models.ForeignKey(
        "accounts.Account", on_delete=models.PROTECT, related_name="invoices"
    )
    stripe_id = models.CharField(max_length=64, unique=True)
    subscription_id = models.CharField(max_length=64, blank=True)
    number = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=24)
    currency = models.CharField(max_length=3)
    amount_due_cents = models.IntegerField()
    amount_paid_cents = models.IntegerField()
    refunded_cents = models.IntegerField(default=0)
    hosted_url = models.URLField(max_length=500, blank=True)
    pdf_url = models.URLField(max_length=500, blank=True)
    issued_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-issued_at",)

    def __str__(self) -> str:
        return self.number or self.stripe_id

    @property
    def amount_due(self) -> str:
        return f"{self.amount_due_cents / 100:.2f}"


class StripeEvent(models.Model):
    """An event that Stripe sent: stored once by its id, processed until it worked."""

    event_id = models.CharField(max_length=64, unique=True)
    type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=64, blank=True)
    customer_id = models.CharField(max_length=64, blank=True)
    created = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(
                fields=["received_at"],
                name="stripe_event_open",
                condition=models.Q(processed_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class RevealLink(models.Model):
    """A one-time look at a new key. The secret is encrypted, and gone once it was seen or is too old."""

    account = models.ForeignKey("accounts.Account", on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey("keys.ApiKey", on_delete=models.CASCADE, related_name="+")
    secret_encrypted = models.BinaryField(null=True)
    # Null until the letter goes: many rows may wait at once, which an empty text could not.
    token_sha256 = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 - see above
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    mailed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    revealed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"link to {self.key}"
