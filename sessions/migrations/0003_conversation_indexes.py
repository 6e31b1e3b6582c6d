"""Indexes for conversations, repeated requests and lists by status and trigger.

They are built concurrently, while sessions go on being written. Counting by status rides on
``session_list_of_status`` alone.

``session_has_work`` takes the place of ``session_work``: a replayed thread is work too. The old
one is dropped last, so that a claim always has an index to ride on.
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('agent_sessions', '0002_conversations'),
        ('agents', '0001_initial'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='session',
            index=models.Index(
                condition=Q(
                    ('status__in', ('creating', 'stopping')),
                    Q(
                        ('prompt_answered_at', None),
                        ('status', 'ready'),
                        Q(('has_prompt', True), ('replays_thread', True), _connector='OR'),
                    ),
                    _connector='OR',
                ),
                fields=['created_at'],
                name='session_has_work',
            ),
        ),
        AddIndexConcurrently(
            model_name='session',
            index=models.Index(
                condition=Q(
                    ('status__in', ('completed', 'failed', 'dead')),
                    Q(('env_vars__isnull', False), ('attachments__isnull', False), _connector='OR'),
                ),
                fields=['stopped_at'],
                name='session_secrets',
            ),
        ),
        AddIndexConcurrently(
            model_name='session',
            index=models.Index(
                fields=['status', '-created_at', '-id'], name='session_list_of_status'
            ),
        ),
        AddIndexConcurrently(
            model_name='session',
            index=models.Index(
                fields=['trigger', '-created_at', '-id'], name='session_list_of_trigger'
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'CREATE UNIQUE INDEX CONCURRENTLY session_once_per_idempotency_key'
                    ' ON agent_sessions_session (agent_id, idempotency_key)'
                    " WHERE NOT idempotency_key = ''",
                    'DROP INDEX CONCURRENTLY session_once_per_idempotency_key',
                ),
            ],
            state_operations=[
                migrations.AddConstraint(
                    model_name='session',
                    constraint=models.UniqueConstraint(
                        condition=~Q(idempotency_key=''),
                        fields=('agent', 'idempotency_key'),
                        name='session_once_per_idempotency_key',
                    ),
                ),
            ],
        ),
        RemoveIndexConcurrently(model_name='session', name='session_work'),
    ]
