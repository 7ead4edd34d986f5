"""An ordinary project: allauth with e-mail sign-in, TOTP, one identity provider, sessions in the database.

The address of the database comes from `DATABASE_URL`, as everywhere in Portcullis.
"""

import os

from psycopg.conninfo import conninfo_to_dict

_database = conninfo_to_dict(os.environ["DATABASE_URL"])

SECRET_KEY = "throw-away"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.django_app.urls"
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING_CONFIG = None

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.get("dbname", ""),
        "USER": _database.get("user", ""),
        "PASSWORD": _database.get("password", ""),
        "HOST": _database.get("host", ""),
        "PORT": _database.get("port", ""),
        # One transaction a view. For Portcullis this is what makes a login one transaction: the answer of
        # `sign_in_requirement` and the session it decides about commit together, so the switch finds either both or neither.
        "ATOMIC_REQUESTS": True,
    }
}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.dummy",
    # After allauth.usersessions: receivers run in the order of this list, and ours writes to the row that allauth's makes.
    "tests.django_app.apps.OrganizationsConfig",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tests.django_app.gate.GateMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the fast one, for throw-away accounts

# Not `cached_db` and not `signed_cookies`: a session whose row is gone must be over.
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# The app's own mail (confirm your address) stays in memory. Portcullis's letters go to a relay.
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
MFA_TOTP_TOLERANCE = 1  # steps: a code typed at the end of its 30 s still counts
