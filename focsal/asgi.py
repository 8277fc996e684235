"""ASGI entry point: the edge in front of Django for HTTP."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django_application = get_asgi_application()
application = django_application
