"""Settings, every one from the environment; a value that is unknown or ill-formed stops the start.

GLASSPOOL_ENV           development (default) or production
GLASSPOOL_DATA          directory of the embedded database, the key and the artefacts (default: var/ in the
                        project)
GLASSPOOL_STATIC        directory of the collected static files (default: static/ in GLASSPOOL_DATA)
GLASSPOOL_HTTPS         production only: true (default) redirects to https and marks cookies secure; false for
                        a trial on one's own machine
GLASSPOOL_BEHIND_PROXY  true when a proxy that sets X-Forwarded-Proto itself stands in front; default false
DJANGO_SECRET_KEY       required in production, at least 50 characters; else generated once and kept
DJANGO_DEBUG            development only: true shows Django's error pages; default false
ALLOWED_HOSTS           comma-separated host names (default: this machine)
CSRF_TRUSTED_ORIGINS    comma-separated origins such as https://glasspool.example
DATABASE_URL            postgres://user:password@host:port/name or sqlite:///path (default: a file in
                        GLASSPOOL_DATA)
NUMBA_CACHE_DIR         where compiled loops are kept (default: a folder in GLASSPOOL_DATA)
REDIS_URL               redis:// or rediss:// broker of the workers; unset: one in-process worker
GLASSPOOL_LEASE_SECONDS  how long a worker may be silent before its chunk goes to another (default 30)
GLASSPOOL_CHUNK_ATTEMPTS  how often a chunk may be tried before it fails its run (default 5)
GLASSPOOL_EXTRA_RUN_KINDS  comma-separated modules that register further kinds of runs; for tests
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")


def choice(name: str, allowed: tuple[str, ...], default: str) -> str:
    """The value of `name`, one of `allowed`; ImproperlyConfigured otherwise."""
    value: str = env.str(name, default=default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value!r} is not known. Use one of: {', '.join(allowed)}.")
    return value


def switch(name: str, default: bool) -> bool:
    """A truth value. django-environ reads every unknown word as false; here `ture` is an error."""
    value = env.str(name, default="").strip().lower()
    if not value:
        return default
    if value not in TRUE_WORDS + FALSE_WORDS:
        raise ImproperlyConfigured(f"{name}={value!r} is neither true nor false.")
    return value in TRUE_WORDS


def number(name: str, default: float) -> float:
    """A finite number of at least 0.1; ImproperlyConfigured otherwise."""
    text: str = env.str(name, default=str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value < math.inf or (isinstance(default, int) and value != int(value)):
        kind = "whole number" if isinstance(default, int) else "number"
        raise ImproperlyConfigured(f"{name}={text!r} is no {kind} above zero.")
    return value


def address(name: str, schemes: tuple[str, ...]) -> str:
    """The address in `name`, empty when unset; the message never repeats it, as it may hold a password."""
    value: str = env.str(name, default="").strip()
    try:
        parts = urlsplit(value)
        known = not value or (parts.scheme in schemes and (parts.port is None or parts.port > 0))
    except ValueError:
        known = False
    if not known:
        raise ImproperlyConfigured(f"{name} is no address that starts with one of: {', '.join(schemes)}.")
    return value


def kept_key(path: Path) -> str:
    """The generated key in `path`, made on the first start, readable by its owner only."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    key = secrets.token_urlsafe(64)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key)
    return key


# -------------------------------------------------------------------------------------------- environment
GLASSPOOL_ENV = choice("GLASSPOOL_ENV", ("development", "production"), "development")
PRODUCTION = GLASSPOOL_ENV == "production"
DEBUG = switch("DJANGO_DEBUG", default=False)
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DJANGO_DEBUG cannot be true in production: its pages show settings and data.")

GLASSPOOL_DATA = Path(env.str("GLASSPOOL_DATA", default="") or BASE_DIR / "var").absolute()
GLASSPOOL_ARTEFACTS = GLASSPOOL_DATA / "artefacts"
# Beside the code rather than the data where an image says so: a volume would keep the files of the image before.
STATIC_ROOT = Path(env.str("GLASSPOOL_STATIC", default="") or GLASSPOOL_DATA / "static").absolute()
try:
    # Hashes of passwords and tokens, bids and loans: nobody else on this machine has any business in there.
    GLASSPOOL_DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    for _directory in (GLASSPOOL_ARTEFACTS, STATIC_ROOT):
        _directory.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"GLASSPOOL_DATA={GLASSPOOL_DATA} cannot be made: {error.strerror}."
    ) from error


def compiled_loops(data: Path) -> Path:
    """Where Numba keeps the machine code of the engines' loops: among our data, since the code's may be read-only.

    Numba looks only at the file of a function, not at the constants it imports: the folder is named after the content
    of all of them, so that nothing compiled from an older release is ever run.
    """
    folder, content = BASE_DIR / "rating" / "engine", hashlib.sha256()
    for path in sorted([*folder.glob("*kernels.py"), folder / "layout.py"]):
        content.update(path.read_bytes())
    return data / "numba" / content.hexdigest()[:16]


# Numba reads it when the engines are first imported; child processes inherit it.
os.environ.setdefault("NUMBA_CACHE_DIR", str(compiled_loops(GLASSPOOL_DATA)))

SECRET_KEY: str = env.str("DJANGO_SECRET_KEY", default="")
if PRODUCTION and len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("DJANGO_SECRET_KEY must be set in production: 50 or more random characters.")
SECRET_KEY = SECRET_KEY or kept_key(GLASSPOOL_DATA / "secret.key")

# ----------------------------------------------------------------------------------------------------- apps
INSTALLED_APPS = [
    "config.apps.HouseConfig",
    "accounts",
    "runs",
    "pooling",
    "rating",
    "pricing",
    "investors",
    "marketplace",
    "django_htmx",
    "whitenoise.runserver_nostatic",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "config.middleware.HouseHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ------------------------------------------------------------------------------------------------- database
DATABASE_URL = address("DATABASE_URL", ("postgres", "postgresql", "sqlite"))


# Measured with 64 writers: no "database is locked" with these four, hundreds with the defaults.
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY",
}


def database() -> dict[str, Any]:
    """Django's settings of the one database."""
    embedded = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(GLASSPOOL_DATA / "glasspool.sqlite3")}
    parsed: dict[str, Any] = env.db_url_config(DATABASE_URL) if DATABASE_URL else embedded
    if not parsed["NAME"]:
        raise ImproperlyConfigured("DATABASE_URL names no database.")
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        return parsed | {"OPTIONS": SQLITE_OPTIONS}
    return parsed | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ------------------------------------------------------------------------------------------------- workers
# Celery carries wake-ups only: results and states live in the database, so there is no result backend.
REDIS_URL = address("REDIS_URL", ("redis", "rediss"))
CELERY_BROKER_URL = REDIS_URL or "memory://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A request that cannot reach the broker gives up soon: the sweep sends the wake-up again.
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 3600, "socket_connect_timeout": 3, "socket_timeout": 10}
    if REDIS_URL
    else {"polling_interval": 0.05}
)
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_BACKEND = None
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# A worker that is killed costs at most one lease; every lease is renewed three times within its length.
GLASSPOOL_LEASE_SECONDS = number("GLASSPOOL_LEASE_SECONDS", default=30.0)
GLASSPOOL_CHUNK_ATTEMPTS = int(number("GLASSPOOL_CHUNK_ATTEMPTS", default=5))
GLASSPOOL_EXTRA_RUN_KINDS: list[str] = env.list("GLASSPOOL_EXTRA_RUN_KINDS", default=[])
CELERY_BEAT_SCHEDULE_FILENAME = str(GLASSPOOL_DATA / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    # A sweep that waited longer than one period is out of date: the next one does the same work.
    "runs.sweep": {"task": "runs.sweep", "schedule": 5.0, "options": {"expires": 5.0}},
}

# ------------------------------------------------------------------------------------------------- security
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = LOGIN_URL

HTTPS = switch("GLASSPOOL_HTTPS", default=PRODUCTION) and PRODUCTION
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SECURE = HTTPS
X_FRAME_OPTIONS = "DENY"
if switch("GLASSPOOL_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# -------------------------------------------------------------------------------------------------- uploads
UPLOAD_MAX_BYTES = 50 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
DATA_UPLOAD_MAX_NUMBER_FILES = 10
FILE_UPLOAD_HANDLERS = ["config.uploads.BoundedUploadHandler"]
FILE_UPLOAD_PERMISSIONS = 0o600

# --------------------------------------------------------------------------------------------------- static
STATIC_URL = "/static/"
_plotly = importlib.util.find_spec("plotly")
if _plotly is None or _plotly.origin is None:
    raise ImproperlyConfigured("The plotly package is missing; install requirements.txt.")
# The chart script comes out of the installed wheel, so nothing is fetched and nothing is vendored.
STATICFILES_DIRS = [("plotly", Path(_plotly.origin).parent / "package_data")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
MEDIA_ROOT = GLASSPOOL_ARTEFACTS
WHITENOISE_USE_FINDERS = not PRODUCTION

# ------------------------------------------------------------------------------------------ words and times
LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# -------------------------------------------------------------------------------------------------- logging
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "config.logs.JsonFormatter"},
        "plain": {"format": "%(levelname)s %(name)s: %(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json" if PRODUCTION else "plain"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO" if PRODUCTION else "WARNING"},
    # Django's own handlers are taken away: in production they would send tracebacks by mail.
    "loggers": {"django": {"handlers": [], "level": "INFO" if PRODUCTION else "WARNING", "propagate": True}},
}
