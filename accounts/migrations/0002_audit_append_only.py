"""The audit trail only grows: the database itself refuses to change or delete an event."""

from django.db import migrations

from accounts.append_only import guarding, unguarding


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.RunPython(guarding("accounts_auditevent"), unguarding("accounts_auditevent")),
    ]
