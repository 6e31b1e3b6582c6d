"""Django's admin as a whole: what its pages share."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

KEYS = "/admin/access/apikey/"


@pytest.fixture
def ada(db: None, client: Client) -> Client:
    """A browser in which a superuser is logged in."""
    client.force_login(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    return client


def test_the_search_box_has_a_label_and_keeps_the_filters(ada: Client) -> None:
    page = ada.get(f"{KEYS}?scope__exact=read").content.decode()
    assert '<label for="searchbar" class="visually-hidden">Search</label>' in page
    assert '<input type="hidden" name="scope__exact" value="read">' in page


def test_only_what_was_narrowed_is_counted_beside_it(ada: Client) -> None:
    assert "0 found" in ada.get(f"{KEYS}?q=nobody").content.decode()
    assert "0 found" in ada.get(f"{KEYS}?scope__exact=read").content.decode()
    assert "0 found" not in ada.get(KEYS).content.decode()


def test_both_parts_of_a_keys_expiry_have_labels(ada: Client) -> None:
    page = ada.get(f"{KEYS}add/").content.decode()
    for label in ("Expiry date", "Expiry time"):
        assert f'aria-label="{label}"' in page


def test_the_tables_have_the_whole_width(ada: Client) -> None:
    assert "nav-sidebar" not in ada.get(KEYS).content.decode()
