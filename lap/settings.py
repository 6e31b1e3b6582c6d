"""Django's and LAP's settings. Every ``LAP_*`` variable is read here and nowhere else."""

import os
import socket
from typing import Any

import dj_database_url
import django_stubs_ext
from csp import constants as csp

from lap import env, keys, postgres

django_stubs_ext.monkeypatch()  # lets Django's generic classes be subscripted, as their types are

BASE_DIR = env.CHECKOUT
LAP_VERSION = "0.1.0"

# Where this installation keeps its files: embedded database, generated keys, local sandboxes.
LAP_DATA_DIR = env.directory("LAP_DATA_DIR", BASE_DIR / "data")
LAP_PORT = env.integer("LAP_PORT", 8000, minimum=1, maximum=65_535)
LAP_ADMIN_PASSWORD = env.text("LAP_ADMIN_PASSWORD")
LAP_PUBLIC_URL = env.text("LAP_PUBLIC_URL", f"http://127.0.0.1:{LAP_PORT}")

# Secrets: from the environment, else generated once into LAP_DATA_DIR (lap.E001 in production).
SECRET_KEY = env.text("LAP_SECRET_KEY") or keys.ensure(LAP_DATA_DIR, "secret.key")
LAP_MASTER_KEY = env.text("LAP_MASTER_KEY") or keys.ensure(LAP_DATA_DIR, "master.key")
LAP_ENCRYPTION_KEYS = env.words("LAP_ENCRYPTION_KEYS") or [
    keys.ensure(LAP_DATA_DIR, "encryption.key")
]

# The tick.
LAP_CRON_BATCH_LIMIT = env.integer("LAP_CRON_BATCH_LIMIT", 2000, minimum=1)
LAP_CRON_BACKLOG_LIMIT = env.integer("LAP_CRON_BACKLOG_LIMIT", 10_000, minimum=1)
LAP_CRON_TICK_SECONDS = env.number("LAP_CRON_TICK_SECONDS", 30, minimum=0.05)
LAP_CRON_BLOCK_SECONDS = env.number("LAP_CRON_BLOCK_SECONDS", 300, minimum=1)
# Only for tests and chaos runs: added to the database's clock where schedules are decided.
LAP_CLOCK_OFFSET_SECONDS = env.number("LAP_CLOCK_OFFSET_SECONDS", 0, minimum=float("-inf"))

# Workers and bring-up.
LAP_LEASE_SECONDS = env.number("LAP_LEASE_SECONDS", 15, minimum=0.5)
LAP_BRINGUP_CONCURRENCY = env.integer("LAP_BRINGUP_CONCURRENCY", 50, minimum=1)
LAP_RUNS_LIMIT = env.integer("LAP_RUNS_LIMIT", 500, minimum=1)
LAP_BRINGUP_MAX_ATTEMPTS = env.integer("LAP_BRINGUP_MAX_ATTEMPTS", 3, minimum=1)
LAP_BRINGUP_TIMEOUT_SECONDS = env.number("LAP_BRINGUP_TIMEOUT_SECONDS", 600, minimum=1)
LAP_BRINGUP_BACKOFF_SECONDS = env.number("LAP_BRINGUP_BACKOFF_SECONDS", 5)
LAP_DRAIN_SECONDS = env.number("LAP_DRAIN_SECONDS", 25)
LAP_SESSION_IDLE_SECONDS = env.number("LAP_SESSION_IDLE_SECONDS", 86_400, minimum=1)
# How long an ended session keeps its variables and attachments, in case it is restarted.
LAP_SESSION_SECRETS_SECONDS = env.number("LAP_SESSION_SECRETS_SECONDS", 86_400)
LAP_RECONCILE_SECONDS = env.number("LAP_RECONCILE_SECONDS", 60, minimum=0.1)
LAP_RECONCILE_GRACE_SECONDS = env.number("LAP_RECONCILE_GRACE_SECONDS", 300)
LAP_HOST_LOST_SECONDS = env.number("LAP_HOST_LOST_SECONDS", 120, minimum=1)
LAP_SANDBOX_BACKEND = env.text("LAP_SANDBOX_BACKEND", "local")
LAP_BACKEND_CHECK_SECONDS = env.number("LAP_BACKEND_CHECK_SECONDS", 15, minimum=0.1)
LAP_SANDBOX_DIR = env.directory("LAP_SANDBOX_DIR", LAP_DATA_DIR / "sandboxes")

# What sandboxes are told about the model gateway.
LITELLM_API_BASE = env.text("LITELLM_API_BASE")
LITELLM_API_KEY = env.text("LITELLM_API_KEY")
LITELLM_DEFAULT_MODEL = env.text("LITELLM_DEFAULT_MODEL")
CONTAINER_ENV = {
    name.removeprefix("CONTAINER_ENV_"): value
    for name, value in os.environ.items()
    if name.startswith("CONTAINER_ENV_")
}

# Without a database of your own, the one that `manage.py up` starts below LAP_DATA_DIR.
LAP_POSTGRES_DIR = LAP_DATA_DIR / "postgres"
LAP_USES_EMBEDDED_POSTGRES = not env.text("DATABASE_URL")
if LAP_USES_EMBEDDED_POSTGRES:
    DATABASE_URL = postgres.url(LAP_POSTGRES_DIR)
else:
    DATABASE_URL = env.database("DATABASE_URL")
# LISTEN needs a direct connection where DATABASE_URL leads to a transaction-mode pooler.
LAP_LISTEN_DATABASE_URL = env.text("LAP_LISTEN_DATABASE_URL", DATABASE_URL)
# Under ASGI every request has a thread of its own, so its connections have to come from a pool.
LAP_DATABASE_POOL_LIMIT = env.integer("LAP_DATABASE_POOL_LIMIT", 0)
LAP_CONNECTION_OPTIONS: dict[str, Any] = {
    "application_name": f"lap@{socket.gethostname()}"[:63],
    "connect_timeout": 10,
    # A connection whose other end has gone is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_POOL = {"pool": {"min_size": 1, "max_size": LAP_DATABASE_POOL_LIMIT, "timeout": 10}}
DATABASES = {
    "default": {
        **dj_database_url.parse(DATABASE_URL),
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 0 if LAP_DATABASE_POOL_LIMIT else 60,
        "OPTIONS": LAP_CONNECTION_OPTIONS | (_POOL if LAP_DATABASE_POOL_LIMIT else {}),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DEBUG = env.flag("LAP_DEBUG")
ALLOWED_HOSTS = env.words("LAP_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")
ROOT_URLCONF = "lap.urls"
ASGI_APPLICATION = "lap.asgi.application"
APPEND_SLASH = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "lap.apps.LapConfig",
    "lap.access.apps.AccessConfig",
    "agents.apps.AgentsConfig",
    "sessions.apps.SessionsConfig",
    "scheduler.apps.SchedulerConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "lap.web.csp.PolicyMiddleware",
    "lap.web.charset.CharsetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "lap.web.viewer.ViewerZoneMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sessions.context.workers",
            ],
            "builtins": ["lap.web.tags"],
        },
    }
]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "agents"
LOGOUT_REDIRECT_URL = "login"
CSRF_FAILURE_VIEW = "lap.error_pages.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
# Attempts to log in a minute, of one address and for one name; 0 for no limit.
LAP_LOGINS_PER_MINUTE = env.integer("LAP_LOGINS_PER_MINUTE", 10)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [csp.NONE],
        "script-src": [csp.NONCE],
        "style-src": [csp.SELF],
        "img-src": [csp.SELF, "data:"],
        "font-src": [csp.SELF],
        "connect-src": [csp.SELF],
        "form-action": [csp.SELF],
        "frame-ancestors": [csp.NONE],
        "base-uri": [csp.NONE],
    }
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LAP_PUBLIC_URL.startswith("https://")
CSRF_TRUSTED_ORIGINS = [LAP_PUBLIC_URL]
DATA_UPLOAD_MAX_MEMORY_SIZE = 28 * 1024 * 1024  # attachments: 20 MB in base64
LAP_BODY_TIMEOUT_SECONDS = env.number("LAP_BODY_TIMEOUT_SECONDS", 60, minimum=0.1)

# Requests a minute, 0 for no limit: of each key, and of each address without a valid key.
LAP_API_RATE_PER_MINUTE = env.integer("LAP_API_RATE_PER_MINUTE", 6000)
LAP_API_FAILURES_PER_MINUTE = env.integer("LAP_API_FAILURES_PER_MINUTE", 60)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["lap.access.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["lap.core.api.HasKey"],
    "DEFAULT_THROTTLE_CLASSES": ["lap.access.throttling.KeyThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "lap.core.api.schema.OperationSchema",
    "EXCEPTION_HANDLER": "lap.access.throttling.answer_error",
    "UNAUTHENTICATED_USER": None,
    "DATETIME_FORMAT": "iso-8601",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "LAP",
    "DESCRIPTION": "Agents on a schedule: every instant once, on time and accounted for.",
    "VERSION": LAP_VERSION,
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "TAGS": [
        {"name": "agents", "description": "What runs, and when."},
        {"name": "schedules", "description": "What schedules are about to do, and have done."},
        {"name": "sessions", "description": "Runs and conversations."},
        {"name": "sandbox", "description": "What sandboxes tell LAP."},
        {"name": "platform", "description": "LAP's own state."},
        {"name": "description", "description": "This description."},
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,
    "POSTPROCESSING_HOOKS": ["lap.core.api.schema.add_components"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # tests and CI make the schema, and stop at warnings
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "lap.core.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("LAP_LOG_LEVEL", "INFO")},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "propagate": False},
    },
}
