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
LAP_PUBLIC_URL = env.url("LAP_PUBLIC_URL", f"http://127.0.0.1:{LAP_PORT}")
# Where sandboxes reach LAP, if that is another address than the one that people use.
LAP_SANDBOX_URL = env.url("LAP_SANDBOX_URL", LAP_PUBLIC_URL)

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
# Where a worker answers probes and tells its metrics; port 0 for nowhere.
LAP_WORKER_HOST = env.text("LAP_WORKER_HOST", "127.0.0.1")
LAP_WORKER_PORT = env.integer("LAP_WORKER_PORT", 0, maximum=65_535)

# Sandboxes on Kubernetes (LAP_SANDBOX_BACKEND=kubernetes): where, and how the API is reached.
# Without a server or a kubeconfig: as the pod's service account, else by the default kubeconfig.
K8S_NAMESPACE = env.text("K8S_NAMESPACE", "default")
K8S_INSTALL = env.text("K8S_INSTALL", "lap")
K8S_KUBECONFIG = env.text("K8S_KUBECONFIG")
K8S_CONTEXT = env.text("K8S_CONTEXT")
K8S_API_SERVER = env.text("K8S_API_SERVER")
K8S_TOKEN_FILE = env.text("K8S_TOKEN_FILE")
K8S_CA_FILE = env.text("K8S_CA_FILE")
K8S_SKIP_TLS_VERIFY = env.flag("K8S_SKIP_TLS_VERIFY")
K8S_API_RETRY_SECONDS = env.number("K8S_API_RETRY_SECONDS", 120)
# How workers reach a sandbox: auto is service inside the cluster, nodeport outside.
K8S_EXPOSE = env.choice("K8S_EXPOSE", "auto", "service", "nodeport")
# The sandboxes' pods; quantities as Kubernetes writes them.
K8S_HARNESS_IMAGE = env.text("K8S_HARNESS_IMAGE")
K8S_CONTAINER_PORT = env.integer("K8S_CONTAINER_PORT", 4096, minimum=1, maximum=65_535)
K8S_CPU_REQUEST = env.text("K8S_CPU_REQUEST", "100m")
K8S_MEMORY_REQUEST = env.text("K8S_MEMORY_REQUEST", "512Mi")
K8S_CPU_LIMIT = env.text("K8S_CPU_LIMIT", "2")
K8S_MEMORY_LIMIT = env.text("K8S_MEMORY_LIMIT", "4Gi")
K8S_RUN_AS_NON_ROOT = env.flag("K8S_RUN_AS_NON_ROOT", default=True)
K8S_RUNTIME_CLASS = env.text("K8S_RUNTIME_CLASS")
K8S_IMAGE_PULL_SECRETS = env.words("K8S_IMAGE_PULL_SECRETS")
K8S_SCHEDULE_TIMEOUT_SECONDS = env.number("K8S_SCHEDULE_TIMEOUT_SECONDS", 300, minimum=1)
K8S_START_TIMEOUT_SECONDS = env.number("K8S_START_TIMEOUT_SECONDS", 180, minimum=1)
# The cluster ends a sandbox by itself when no worker has renewed it for so long.
K8S_SANDBOX_TTL_SECONDS = env.number("K8S_SANDBOX_TTL_SECONDS", 7200, minimum=1)
# Sandboxes started ahead: how many of a configuration, of how many agents, and of which: those
# due within the lead, and those with a session within the recent time. Size 0 switches it off.
K8S_WARM_POOL_SIZE = env.integer("K8S_WARM_POOL_SIZE", 1)
K8S_WARM_POOLS_LIMIT = env.integer("K8S_WARM_POOLS_LIMIT", 20)
K8S_WARM_LEAD_SECONDS = env.number("K8S_WARM_LEAD_SECONDS", 300)
K8S_WARM_RECENT_SECONDS = env.number("K8S_WARM_RECENT_SECONDS", 3600)

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
LAP_LISTEN_DATABASE_URL = env.database("LAP_LISTEN_DATABASE_URL", DATABASE_URL)
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
_DATABASE = dj_database_url.parse(DATABASE_URL)
DATABASES = {
    "default": {
        **_DATABASE,
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 0 if LAP_DATABASE_POOL_LIMIT else 60,
        "OPTIONS": {
            **_DATABASE.get("OPTIONS", {}),  # of the URL: sslmode and the like
            **LAP_CONNECTION_OPTIONS,
            **(_POOL if LAP_DATABASE_POOL_LIMIT else {}),
        },
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
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS is up to the proxy that ends TLS: it may serve other names, too
    "security.W008",  # so is the redirect to HTTPS: probes and sandboxes come without TLS
]
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

LAP_LOG_FORMAT = env.choice("LAP_LOG_FORMAT", "line", "json")
LAP_LOG_LEVEL = env.choice("LAP_LOG_LEVEL", "INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "lap.core.logs.LineFormatter"},
        "json": {"()": "lap.core.logs.JsonFormatter"},
    },
    "filters": {"run": {"()": "lap.core.logs.RunFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LAP_LOG_FORMAT,
            "filters": ["run"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LAP_LOG_LEVEL},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "propagate": False},
        # uvicorn brings handlers of its own; these take their place.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": True},
    },
}
