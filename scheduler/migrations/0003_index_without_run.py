"""``cron_fire_without_run``: the latest instants that passed while nobody looked, for the metrics.

Few rows of the ledger are in it. It is built by ``CREATE INDEX CONCURRENTLY``: the tick does not
wait for it, and workers of the version before use the table as they did.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('scheduler', '0002_ledger_indexes'),
    ]

    operations = [
        # What an interrupted run has left is invalid, and in the way of the next one.
        migrations.RunSQL(
            'DROP INDEX CONCURRENTLY IF EXISTS cron_fire_without_run', migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name='cronfire',
            index=models.Index(
                condition=Q(outcome__in=('missed', 'coalesced')),
                fields=['-decided_at'],
                name='cron_fire_without_run',
            ),
        ),
    ]
