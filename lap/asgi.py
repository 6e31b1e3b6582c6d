"""The web process's entry point: ``uvicorn lap.asgi:application``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lap.settings")
os.environ.setdefault("LAP_DATABASE_POOL_LIMIT", "10")
application = get_asgi_application()
