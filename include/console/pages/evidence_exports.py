"""Exports: the folders that were written, their files to download, and the form that writes another one."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

from starlette.responses import FileResponse, Response

from include.console import forms
from include.console.asking import Ask
from include.console.pages import Page
from include.console.pages.evidence import number_of
from include.console.paging import Rows
from include.console.reading import evidence as reading
from include.console.roles import Capability
from include.errors import DecisionRefused

page = Page("evidence/exports")
SIZE = 20
MOST_ZIPPED = 64 * 1024 * 1024
"""A larger export is downloaded file by file: a page does not build archives of gigabytes in memory."""
DAG = "evidence_export"


def _root() -> Path:
    return Path(os.environ.get("RETENTION_EXPORTS", ".local/exports"))


@page.get("", Capability.EVIDENCE)
def show(ask: Ask) -> Response:
    """Show the exports, newest first."""
    skip = number_of(ask, "after") if ask.after else 0
    found, total = reading.exports(_root(), skip=skip, limit=SIZE)
    following = str(skip + SIZE) if skip + SIZE < total else None
    return ask.render("evidence_exports.html", rows=Rows(found, following, not ask.after))


@page.get("one", Capability.EVIDENCE)
def one(ask: Ask) -> Response:
    """Show the files of one export."""
    found = reading.export(_root(), ask.query.get("name", ""))
    if found is None:
        raise DecisionRefused(ask.words("evidence.no_export"))
    return ask.render("evidence_export.html", export=found, zipped=MOST_ZIPPED)


@page.get("file", Capability.EVIDENCE)
def file(ask: Ask) -> Response:
    """Download one file an export's manifest lists."""
    path = reading.file_of(_root(), ask.query.get("name", ""), ask.query.get("file", ""))
    return FileResponse(path, filename=path.name, content_disposition_type="attachment")


@page.get("zip", Capability.EVIDENCE)
def zipped(ask: Ask) -> Response:
    """Download a whole export of moderate size as one file."""
    found = reading.export(_root(), ask.query.get("name", ""))
    if found is None or found.total > MOST_ZIPPED:
        raise DecisionRefused(ask.words("evidence.no_export"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, _ in found.files:
            archive.write(_root() / found.name / name, f"{found.name}/{name}")
    return ask.file(made.getvalue(), f"{found.name}.zip", "application/zip")


@page.get("new", Capability.EVIDENCE)
def new(ask: Ask) -> Response:
    """Show the form of `evidence_export`."""
    return ask.render("dag_form.html", fields=forms.fields(ask, DAG), dag=DAG, target="evidence/exports/new")


@page.post("new", Capability.EVIDENCE)
def start(ask: Ask) -> Response:
    """Start an export as this person."""
    run_id = forms.start(ask, DAG, forms.conf_of(ask, forms.fields(ask, DAG)))
    return ask.render("dag_started.html", dag=DAG, run_id=run_id, back="evidence/exports")
