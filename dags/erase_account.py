"""One account by hand: form, preview, a second person's approval, the same groups as at night, notice, certificate."""

from airflow.sdk import dag

from include import tasks
from include.tasks import request_form, requests, requests_end, runs

DOC = """
### Erase one account (계정 파기)

For a request of a person (삭제, 동의철회, 가입해지), a guardian, a customer for its end users, or a court order.
What each kind reaches stands in the retention schedule, section `requests`.

| step | what happens |
|---|---|
| `identify` | the form is checked, the account found, the request registered: its 10 days run from the day it came in |
| `preview` | every place is read: records found, action, law, last day, holds; **nothing is changed** |
| `present` | the preview as a whole; a dry run (the default) ends here |
| `approve` | a second person answers (*Required Actions*), never the requester; silence for 24 hours is a refusal |
| `release` | the answer is recorded; only an approval of exactly this preview goes on |
| groups | the same as at night, batch of one; what holds the address waits |
| `differences` | more found than shown stops that disposal and asks again |
| `notice` | what was erased, kept, held, and a dated line for what still waits, by mail or attested as sent |
| `erase_contact` | the address goes last |
| `certificate`, `report` | the certificate of this subject; the report fails on any gap |

No free text, no e-mail, no name: what is typed here stays in Airflow until the run is purged (`forget_requests`).
"""


@dag(
    dag_display_name="Erase one account · 계정 파기",
    schedule=None,
    allowed_run_types=["manual"],
    max_active_runs=16,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["requests", "destructive"],
    doc_md=DOC,
    params=request_form.FORM,
    access_control=requests.ROLES,
)
def erase_account() -> None:
    """Show, ask, then carry through."""
    run = requests.identify()
    shown = requests.present(run, requests.preview.partial(run=run).expand(processor=requests.places(run)))
    asked = requests.ask_for_approval()
    requests.really(shown) >> asked
    released = requests.release(run, shown, asked.output)
    runs.carry_through(released, start=released, finish=requests_end.finish, judge=requests_end.judged)


erase_account()
