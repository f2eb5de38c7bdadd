"""The journal only grows: triggers of the database refuse UPDATE and DELETE on transfers and entries."""

from django.db import migrations

from accounts.append_only import guarding, unguarding

TABLES = ("investors_transfer", "investors_entry")


class Migration(migrations.Migration):
    dependencies = [("investors", "0001_initial")]

    operations = [migrations.RunPython(guarding(*TABLES), unguarding(*TABLES))]
