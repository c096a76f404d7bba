"""Django settings of the tests with fields of other packages: `tox run -e third_party_fields`."""

from django_settings import CHANNEL_LAYERS, DEFAULT_AUTO_FIELD, SECRET_KEY, USE_TZ

__all__ = ["CHANNEL_LAYERS", "DEFAULT_AUTO_FIELD", "SECRET_KEY", "USE_TZ"]

SALT_KEY = "of the encrypted fields"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "djmoney",
    "phonenumber_field",
    "polymorphic",
    "taggit",
    "third_party",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
