"""Settings. What depends on the environment goes through `env`; a wrong value stops the start with a sentence."""

from pathlib import Path

from opsconductor import embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = env.var_dir(BASE_DIR)

DEBUG = False
SECRET_KEY = env.secret_key(VAR_DIR)
ENCRYPTION_KEYS = env.encryption_keys(VAR_DIR)
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
LOG_LEVEL = env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO")

INSTALLED_APPS = [
    "opsconductor",
    "alerts",
    "connectors",
    "dependencies",
    "notifications",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "csp",
    "django_celery_beat",
]

MIDDLEWARE = [
    "opsconductor.health.HealthFirst",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "opsconductor.throttles.SlowSignIn",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "opsconductor.urls"
ASGI_APPLICATION = "opsconductor.asgi.application"
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
            ]
        },
    }
]

# A pool that gives up soon begins anew with the next request; its own back-off would double up to five minutes.
POOL = {"min_size": 1, "max_size": 8, "timeout": 3, "reconnect_timeout": 2}
# A server that is gone without a word is given up, not waited for: psycopg's own limit to connect is 130 s, and of a
# statement under way the kernel learns after a quarter of an hour. What DATABASE_URL says goes first.
PEER = {
    "connect_timeout": "5",
    "tcp_user_timeout": "15000",  # ms
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_database = env.database(default=embedded.database_url(VAR_DIR))
DATABASES = {
    "default": {
        **_database,
        "CONN_MAX_AGE": 0,
        # Without the check the pool hands out connections that died with a restarted server.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**PEER, **_database["OPTIONS"], "pool": POOL},
    }
}
REDIS_URL = env.redis(default=embedded.redis_url(VAR_DIR))

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": env.redis_db(REDIS_URL, 2),
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # redis-py 8 times an idle socket out after 5 s unless told otherwise.
        "CONFIG": {"hosts": [{"address": env.redis_db(REDIS_URL, 1), "socket_timeout": None}]},
    }
}
CELERY_BROKER_URL = env.celery_broker(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# What EMAIL_URL says: EMAIL_HOST and its like. A mail server that hangs must not hold anybody up.
EMAIL = env.email()
globals().update(EMAIL)
EMAIL_TIMEOUT = 10
# Who is told of trouble that cannot become an alert, because the database is the trouble (opsconductor/outcry.py).
SELF_ALERT_TO = env.self_alert_to()

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "opsconductor.formats"

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # no collectstatic step between a clone and its first page

DATA_UPLOAD_MAX_NUMBER_FILES = 250  # MIBs come by the folder; the import page counts them itself and says so

LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/alerts/"
LOGOUT_REDIRECT_URL = "/accounts/login/"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

# Requests of the API a second, and how many at once: of one user or API key, in one web process.
API_RATE = env.rate("OPSCONDUCTOR_API_RATE", default=(50, 1_000))
REST_FRAMEWORK = {
    # The first one decides that a request without credentials is answered 401 with WWW-Authenticate.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "opsconductor.auth.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["opsconductor.permissions.HasAccess"],
    "DEFAULT_THROTTLE_CLASSES": ["opsconductor.throttles.PerUser"],
    "DEFAULT_FILTER_BACKENDS": ["opsconductor.api.StrictFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "opsconductor.api.KeysetPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,  # ?format=x is an unknown filter like any other
    "DEFAULT_SCHEMA_CLASS": "opsconductor.openapi.Schema",
    "EXCEPTION_HANDLER": "opsconductor.problems.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "OpsConductor",
    "DESCRIPTION": "Alerts of the network: send events, read alerts by filter, act on them.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["opsconductor.permissions.HasAccess"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "SeverityEnum": ["clear", "info", "warning", "minor", "major", "critical"],
        "CategoryEnum": "alerts.choices.Category",
        "LevelEnum": "alerts.choices.Level",
        "StatusEnum": "alerts.choices.Status",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "opsconductor.openapi.add_events",
        "opsconductor.openapi.add_problem",
        "opsconductor.api_examples.add_examples",
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"calm": {"()": "opsconductor.logs.Calm"}, "masked": {"()": "opsconductor.logs.Masked"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["masked", "calm"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # anybody may send any host name
        "daphne": {"level": "WARNING"},
        "psycopg.pool": {"level": "ERROR"},  # every attempt at an absent server, in every process
    },
}
