"""Duties that workers take in turns, and what workers report of warm pools.

The columns have constant defaults in the database, so no row is rewritten and older workers go on
inserting; the table is new.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agent_sessions', '0003_conversation_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='worker',
            name='warm_pools',
            field=models.JSONField(blank=True, db_default=[], default=list),
        ),
        migrations.AddField(
            model_name='worker',
            name='warm_pools_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name='Duty',
            fields=[
                ('name', models.CharField(max_length=600, primary_key=True, serialize=False)),
                ('until', models.DateTimeField()),
                (
                    'worker',
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name='duties',
                        to='agent_sessions.worker',
                    ),
                ),
            ],
            options={'verbose_name_plural': 'duties'},
        ),
    ]
