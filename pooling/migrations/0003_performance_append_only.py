"""A stored month does not change: triggers of the database refuse UPDATE and DELETE on performance tapes."""

from django.db import migrations

from accounts.append_only import guarding, unguarding

TABLES = ("pooling_performancetape",)


class Migration(migrations.Migration):
    dependencies = [("pooling", "0002_performance_tape")]

    operations = [migrations.RunPython(guarding(*TABLES), unguarding(*TABLES))]
