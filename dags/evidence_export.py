"""On demand and after every run: an export folder with everything people read, from the sealed evidence."""

from typing import Any

from airflow.sdk import Param, dag

from include import tasks
from include.tasks import decisions, evidence

DOC = """
### Evidence export (증거 내보내기)

Writes a folder that an auditor can verify without us (`verify.py` lies in it) and that people can read: the eleven
sheets as `ledger.xlsx` and CSV, `report.ko.pdf` and `report.en.pdf`, certificates of destruction.

- **After a run** (its asset): the workbook and reports of that run alone, into that run's own folder.
- **By hand**: for a period, a processor, a person's request or a subject. A subject is named by *tag*, never by account
  or e-mail: what is typed here stays in Airflow's database. One certificate is written for the processor or subject.

The entries are never thinned out, because then nobody could verify them; the sheets show what was asked for.
"""
DATE: dict[str, Any] = {"type": ["null", "string"], "format": "date"}


@dag(
    dag_display_name="Evidence export · 증거 내보내기",
    schedule=[tasks.EVIDENCE],
    allowed_run_types=["asset_triggered", "manual"],
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["evidence"],
    doc_md=DOC,
    access_control=decisions.BY_COMPLIANCE,
    params={
        "from": Param(
            None, title="From · 시작일",
            description="First business date. Empty: the beginning. · 첫 기준일. 비우면 처음부터.", **DATE,
        ),
        "to": Param(
            None, title="To · 종료일",
            description="Last business date. Empty: up to the newest. · 마지막 기준일. 비우면 최근까지.", **DATE,
        ),
        "processor": Param(
            None, type=["null", "string"], pattern="^[a-z][a-z0-9_]{0,39}$", title="Processor · 처리처",
            description="Its name, for example stripe. Empty: all of them. · 이름(예: stripe). 비우면 모두.",
        ),
        "request": Param(
            None, type=["null", "string"], format="uuid", pattern="^[0-9a-f-]{36}$", title="Request · 요구",
            description="The id of a request of a data subject, as its entries carry it. · "
            "증적에 적힌 정보주체 요구의 번호.",
        ),
        "subject_tag": Param(
            None, type=["null", "string"], pattern="^[0-9a-f]{64}$", title="Subject tag · 식별 태그",
            description="64 hex characters from a look-up. Never an account id or an e-mail. · "
            "조회에서 얻은 16진수 64자. 계정 번호나 이메일은 적지 않습니다.",
        ),
        "full": Param(
            True, type="boolean", title="Whole log · 전체 기록",
            description="Yes: every entry since the first. No: only from the first run of the period, or the newest. · "
            "예: 처음부터 모든 항목. 아니요: 기간의 첫 실행 또는 가장 최근 실행부터.",
        ),
    },
)  # fmt: skip
def evidence_export() -> None:
    """Choose, then export each."""
    evidence.export_folder.expand(wanted=evidence.choose_exports())


evidence_export()
