"""What is kept of sources that send by themselves: how much they sent, since when it is listened for, and which of
their words nobody has given a meaning yet."""

from __future__ import annotations

from django.db import models


class ReceivedCount(models.Model):
    """Events of one connector within a quarter of an hour, as its writers count them.

    Added to in the transaction of the batch, taken over into the connector's own counters soon after; `shard` keeps
    writers from waiting for each other.
    A quarter, because days begin at one in every time zone. No foreign key: a batch must not wait for
    an edit of its connector.
    """

    connector_id = models.BigIntegerField()
    shard = models.SmallIntegerField()
    quarter = models.DateTimeField()
    count = models.BigIntegerField()
    last_at = models.DateTimeField(help_text="Receipt of the newest of them.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connector_id", "shard", "quarter"], name="receivedcount_one_per_shard")
        ]

    def __str__(self) -> str:
        return f"{self.quarter:%F %H:%M} connector {self.connector_id}: {self.count}"


class Listening(models.Model):
    """A source whose silence is an alert: since when somebody has been listening without a break, and when its silence
    was told last."""

    connector = models.OneToOneField("connectors.Connector", on_delete=models.CASCADE, primary_key=True)
    since = models.DateTimeField()
    looked_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"connector {self.connector_id} since {self.since:%F %T}"


class SeenValue(models.Model):
    """A word of a source that no row of normalisation knew when it came; the page Mappings makes a row of it."""

    connector_type = models.CharField(max_length=60)
    source_field = models.CharField(max_length=100)
    source_value = models.CharField(max_length=200)
    count = models.BigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connector_type", "source_field", "source_value"], name="seenvalue_one_per_word"
            )
        ]

    def __str__(self) -> str:
        return f"{self.connector_type}: {self.source_field}={self.source_value}"
