"""Give Portcullis its view of the app: the schema `directory`."""

# ruff: noqa: RUF012 - class attributes that are lists are how Django wants them

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0001_initial"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("sessions", "0001_initial"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
        ("usersessions", "0001_initial"),
    ]

    # A list: Django hands each of its statements over whole, instead of splitting the text at semicolons.
    operations = [migrations.RunSQL([(Path(__file__).parent.parent / "directory.sql").read_text()], "drop schema directory cascade")]
