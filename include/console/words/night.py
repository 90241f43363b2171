"""Texts of the landing page: tonight and the last nights."""

TEXTS: dict[str, tuple[str, str]] = {
    "nav.night": ("오늘 밤", "Tonight"),
}
