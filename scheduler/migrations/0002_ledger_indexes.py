"""Indexes for lists of the ledger across agents, built while instants go on being recorded.

- ``cron_fire_list_of_outcome``: the rows of one outcome, the latest decisions first. Most instants
  start, so the list of ``started`` rides on the primary key, and recording a start writes no entry.
- ``cron_fire_problems``: the latest decisions that an operator wants to hear of.

There is none by instant: lists of one agent are sorted by it, and where such an index was tried,
PostgreSQL walked the rows of all agents for them (0.4 s instead of 1 ms at 1,000,000 rows).

Only indexes are added, each by ``CREATE INDEX CONCURRENTLY``: the tick waits for none of them,
and workers of the version before use the table as they did.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('scheduler', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='cronfire',
            index=models.Index(
                condition=~Q(outcome='started'),
                fields=['outcome', '-id'],
                name='cron_fire_list_of_outcome',
            ),
        ),
        AddIndexConcurrently(
            model_name='cronfire',
            index=models.Index(
                condition=Q(outcome__in=('missed', 'invalid_schedule', 'skipped_overlap')),
                fields=['-decided_at'],
                name='cron_fire_problems',
            ),
        ),
    ]
