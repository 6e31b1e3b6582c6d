"""What the pages of all apps share: their base view, template tags, login and policy."""
