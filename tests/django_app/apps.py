"""The app as Django knows it."""

from importlib import import_module

from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "tests.django_app"
    label = "organizations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import_module("tests.django_app.sign_in")  # connects its receivers; needs the models, so not earlier
