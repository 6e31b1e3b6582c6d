"""Indexes for the list of agents, built while agents go on being written.

- ``agent_by_age``, ``agent_by_name``, ``agent_by_harness``: the list sorted by that, either way
  (``agents.listing.sort_agents``). The first takes the place of ``agent_list``, whose ids ran
  against its times; that one is dropped last.
- ``agent_search``: trigrams of name and harness (``search_agents``). The expressions are what
  Django makes of ``icontains``. ``pg_trgm`` is a trusted extension since PostgreSQL 13.
"""

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.operations import (
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    TrigramExtension,
)
from django.db import migrations, models
from django.db.models import F, Q
from django.db.models.functions import Lower, Upper


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('agents', '0001_initial'),
    ]

    operations = [
        TrigramExtension(),
        migrations.AlterModelOptions(
            name='agent',
            options={'ordering': ['-created_at', '-id']},
        ),
        AddIndexConcurrently(
            model_name='agent',
            index=models.Index(
                condition=Q(('deleted_at', None)),
                fields=['-created_at', '-id'],
                name='agent_by_age',
            ),
        ),
        AddIndexConcurrently(
            model_name='agent',
            index=models.Index(
                Lower('name'), F('id'), condition=Q(('deleted_at', None)), name='agent_by_name'
            ),
        ),
        AddIndexConcurrently(
            model_name='agent',
            index=models.Index(
                condition=Q(('deleted_at', None)),
                fields=['harness_id', 'id'],
                name='agent_by_harness',
            ),
        ),
        AddIndexConcurrently(
            model_name='agent',
            index=GinIndex(
                OpClass(Upper('name'), name='gin_trgm_ops'),
                OpClass(Upper('harness_id'), name='gin_trgm_ops'),
                condition=Q(('deleted_at', None)),
                name='agent_search',
            ),
        ),
        RemoveIndexConcurrently(model_name='agent', name='agent_list'),
    ]
