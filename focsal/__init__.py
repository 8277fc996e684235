"""Wiring only: settings, URLs, ASGI, Celery."""

from focsal.celery import app as celery_app

__all__ = ("celery_app",)
