"""Every night at 02:00 in Seoul: find what is past its retention period and carry its destruction to proof."""

from airflow.sdk import CronTriggerTimetable, Param, dag

from include import tasks
from include.tasks import alerts, decisions, runs

DOC = """
### Nightly retention (야간 파기)

Finds every account with something past its retention period **up to now** and carries the erasure through every
processor that holds data of it, until it is *read back as gone*, kept under a law, or honestly not provable.

| step | what happens |
|---|---|
| `begin`, `discover` | business date and approved schedule are checked; what fell due becomes disposals |
| `judge_plan` | the new ones are compared with the last nights and the last schedule version (the brake) |
| `approve_plan`, `settle` | only when far more than usual: a second person lets them go; silence does not |
| one group per processor | `locate` reads what is there and stages what a law keeps |
| `archive` | statutory rows go to cold storage, checked by digest and lock, before any source is touched |
| `seal_plan` | the plan is sealed into the evidence log before the first act |
| the same groups | `advance` acts step by step and reads back |
| `manual` | what only a person can do becomes one request a place; nothing waits for it |
| `sweep` | what came into each place lately is compared with tombstones: who was erased and is there again shows |
| `self_scan` | logs, Airflow's tables and ours are searched for whoever was erased; a finding turns the night red |
| `seal`, `export`, `report` | evidence is sealed and exported; the report fails when promised and proven differ |

A processor that is down makes its own group and the report red; the others finish, and the next run goes on from there.
Nothing here sleeps: what must wait has a date, and `advance_disposals` picks it up in that hour.
"""


@dag(
    dag_display_name="Nightly retention · 야간 파기",
    # No start date: with one in the past the run would fire the moment the DAG is unpaused.
    schedule=CronTriggerTimetable("0 2 * * *", timezone="Asia/Seoul"),
    allowed_run_types=["scheduled", "manual"],
    max_active_runs=1,
    deadline=alerts.NIGHT_DEADLINE,
    is_paused_upon_creation=True,
    default_args=tasks.defaults,
    tags=["retention", "destructive"],
    doc_md=DOC,
    access_control=decisions.ANSWERED,
    params={
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Business date · 기준일",
            description="Empty: today in Seoul. Refused: before the newest run, or after today outside the sandbox. · "
            "비우면 오늘(서울). 가장 최근 실행보다 이르거나 오늘보다 늦은 날은 거부됩니다.",
        )
    },
)
def nightly_retention() -> None:
    """Discover, brake, then carry everything due through its processors."""
    run = runs.begin()
    released = decisions.brake(run, runs.discover(run))
    runs.carry_through(run, start=released, finish=decisions.after_acts)


nightly_retention()
