"""Texts of the tabs on a run and on a DAG."""

TEXTS: dict[str, tuple[str, str]] = {
    "run.title": ("이 실행이 한 일", "What this run did"),
    "run.unknown": (
        "아직 기록이 없습니다. 보유·파기 DAG이 아니거나, 첫 작업 전이거나, 미리보기만 한 실행입니다.",
        "This run has recorded nothing: it is not one of retention's, has not begun, or was a dry run.",
    ),
    "run.day": ("기준일", "Business date"),
    "run.started": ("시작", "Started"),
    "run.ended": ("끝", "Ended"),
    "run.scanned": ("확인한 계정", "Accounts looked at"),
    "run.planned": ("새 계획", "Newly planned"),
    "run.held": ("그중 보류", "Of them held"),
    "run.schedule": ("보유 기준표", "Retention schedule"),
    "run.counts": ("이 실행이 남긴 증적, 처리처별", "What this run recorded, by processor"),
    "run.nothing": (
        "이 실행이 파기 건에 대해 남긴 봉인된 증적이 없습니다.",
        "No sealed entry of this run is about a disposal.",
    ),
    "run.waiting": (
        "시작 이후의 증적 {count}건이 아직 봉인되지 않아 세지 않았습니다.",
        "{count} entries since its beginning are not sealed yet and are not counted.",
    ),
    "run.search": ("이 실행의 증적 찾기", "Search the evidence of this run"),
    "run.entries": ("기록된 증적", "Evidence recorded"),
    "run.entries.caption": ("이 실행의 시작부터 다음 실행 전까지", "From this run's beginning to the next run's"),
    "run.index": ("기록 번호", "Log index"),
    "run.event": ("내용", "Event"),
    "run.where": ("처리처·범위", "Processor and scope"),
    "run.rule": ("규칙", "Rule"),
    "run.when": ("기록 시각(UTC)", "Recorded (UTC)"),
    "run.unsealed": ("봉인 전", "not sealed"),
    "dag.title": ("보유·파기 기록", "Retention record"),
    "dag.caption": ("기록을 남긴 실행, 최근 순", "Runs that recorded something, the newest first"),
    "dag.none": ("이 DAG은 아직 기록을 남기지 않았습니다.", "This DAG has recorded nothing yet."),
    "dag.run": ("실행", "Run"),
}
