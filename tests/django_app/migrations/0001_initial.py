"""Organizations and memberships, as `makemigrations` wrote them."""


# ruff: noqa: RUF012 - class attributes that are lists are how Django wants them

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("locale", models.CharField(default="en", max_length=35)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                ("support_url", models.URLField(blank=True)),
            ],
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(default="employee", max_length=20)),
                ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ("organization", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="organizations.organization")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("organization", "user"), name="one_membership_each")],
            },
        ),
    ]
