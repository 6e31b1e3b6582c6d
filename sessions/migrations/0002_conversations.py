"""Columns for conversations, repeated requests and the backend's health.

All have constant defaults in the database, so no row is rewritten and older workers go on.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agent_sessions', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='session',
            name='harness_id',
            field=models.CharField(blank=True, db_default='', default='', max_length=50),
        ),
        migrations.AddField(
            model_name='session',
            name='idempotency_digest',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='session',
            name='idempotency_key',
            field=models.CharField(blank=True, db_default='', default='', max_length=200),
        ),
        migrations.AddField(
            model_name='session',
            name='replays_thread',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='session',
            name='wiped_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='backend',
            field=models.CharField(blank=True, db_default='', default='', max_length=50),
        ),
        migrations.AddField(
            model_name='worker',
            name='backend_checked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='backend_elapsed_ms',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='worker',
            name='backend_error',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
    ]
