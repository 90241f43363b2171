-- Years of nights, made by PostgreSQL itself: see volume.py. Parameters: count, nights, today, sha.

INSERT INTO retention.schedule_version (sha256, policy_text_sha256, body)
    VALUES (:sha, 'p', '\x00') ON CONFLICT DO NOTHING;

INSERT INTO retention.run (run_id, dag_id, airflow_run_id, as_of, schedule_sha256, accounts_scanned, due, held,
    first_entry, started_at, finished_at)
    SELECT md5('n' || n)::uuid, 'nightly_retention', 'scheduled__' || n, CAST(:today AS date) - n, :sha, 5000,
    :count / :nights, 3, 1 + (:count / :nights) * (:nights - 1 - n),
    CAST(:today AS timestamptz) - n * interval '1 day', CAST(:today AS timestamptz) - n * interval '1 day' + interval '1 hour'
    FROM generate_series(0, :nights - 1) n;

INSERT INTO retention.night (run_id, as_of, schedule_sha256, counts, asked, decision)
    SELECT run_id, as_of, schedule_sha256, '{"stripe:r-14": 100, "zendesk:r-14": 90}', '{}', 'free'
    FROM retention.run;

INSERT INTO retention.disposal (disposal_id, subject_tag, key_epoch, account_id, subject_type, processor, rule_id,
    rule_version, scope_id, trigger_event, trigger_date, last_day, free_from, destroy_by, datasets, categories,
    schedule_sha256, run_id, outcome, code, until, due_at, count_before, count_after, needs_person, closed_on,
    planned_at, updated_at)
    SELECT md5('d' || n)::uuid, encode(sha256(('t' || n / 8)::bytea), 'hex'), '2026',
    CASE WHEN n % 10 = 0 THEN 'a' || n / 8 END, 'individual', (ARRAY['adroll','clarity','own_database','paper','s3','salesforce','stripe','zendesk'])[1 + n % 8], 'R-14', 1, 'scope',
    'terminated', day - 7, day - 7, day - 6, day, ARRAY['support'], ARRAY['D-08'], :sha,
    md5('n' || :nights - 1 - n * :nights / :count)::uuid,
    CASE WHEN n % 10 > 0 THEN (ARRAY['confirmed_absent','confirmed_absent','confirmed_absent',
    'retained_by_processor','manual_attested','confirmed_absent','confirmed_absent'])[1 + n % 7]
    ELSE (ARRAY['awaiting','blocked','planned','manual_pending','failed','accepted','expires_by_processor'])[1 + n / 10 % 7] END,
    CASE WHEN n % 70 = 10 THEN 'hold_h-2' END,
    CASE WHEN n % 10 = 0 AND n / 10 % 7 = 0 THEN day + 30 END,
    CASE WHEN n % 10 = 0 THEN day + (n / 10 % 5) END, n % 5, CASE WHEN n % 10 > 0 THEN 0 END,
    n % 10 = 0 AND n / 10 % 7 = 4, CASE WHEN n % 10 > 0 THEN day - 3 END,
    CAST(:today AS timestamptz), CAST(:today AS timestamptz)
    FROM (SELECT n, CAST(:today AS date) + 15 - ((:count - 1 - n) * CAST(:nights AS bigint) / :count)::int AS day
    FROM generate_series(0, :count - 1) n) made;

INSERT INTO retention.entry (log_index, body, leaf_hash, disposal_id, recorded_at)
    SELECT n, convert_to('{"as_of":"' || day || '","destroy_by":"' || day || '","disposal_id":"' || md5('d' || n)::uuid
    || '","event":"' || (ARRAY['confirmed_absent','planned','awaiting'])[1 + n % 3] || '","free_from":"' || day - 6
    || '","processor":"' || (ARRAY['stripe','zendesk','s3','adroll'])[1 + n % 4] || '","recorded_at":"2026-11-24T02:00:00Z",'
    || '"rule_id":"R-14","scope":"support","subject_tag":"' || encode(sha256(('t' || n / 8)::bytea), 'hex') || '"}', 'UTF8'),
    '\x00', md5('d' || n)::uuid, CAST(:today AS timestamptz)
    FROM (SELECT n, CAST(:today AS date) - ((:count - 1 - n) * CAST(:nights AS bigint) / :count)::int AS day
    FROM generate_series(0, :count - 1) n) made;

INSERT INTO retention.batch (batch_id, run_id, processor, number)
    SELECT md5('b' || n)::uuid, md5('n' || n / 14)::uuid, 'zendesk', n FROM generate_series(0, 14 * 40 - 1) n;

INSERT INTO retention.batch_item (batch_id, disposal_id)
    SELECT md5('b' || n / 100)::uuid, md5('d' || :count - 1 - n)::uuid
    FROM generate_series(0, least(14 * 40 * 100, :count) - 1) n;

INSERT INTO retention.checkpoint (size, root, note, frontier) VALUES (:count, '\x00', 'note', '{}');

INSERT INTO retention.hold (hold_id, account_id, kind, datasets, reason_code, placed_by, placed_on, review_due,
    released_on, released_by)
    SELECT md5('h' || n)::uuid, 'a' || n, 'H-2', '{}', 'unpaid', 'operator:e-a', CAST(:today AS date) - 10, CAST(:today AS date) + 20,
    CASE WHEN n > 200 THEN CAST(:today AS date) - 2 END, CASE WHEN n > 200 THEN 'operator:e-b' END
    FROM generate_series(0, 19999) n;

INSERT INTO retention.request (request_id, subject_tag, key_epoch, kind, channel, identity_check, received_on,
    clocks, due, legal_due, due_rule, status, notice_by, notice_state, overrides, datasets, closed_on)
    SELECT md5('r' || n)::uuid, encode(sha256(('t' || n)::bytea), 'hex'), '2026', 'erasure', 'web', 'login',
    CAST(:today AS date) - n % 700, '[]', CAST(:today AS date) - n % 700 + 9, CAST(:today AS date) - n % 700 + 10, 'kr',
    'answered', 'mail', 'sent', true, '{}', CASE WHEN n % 700 > 8 THEN CAST(:today AS date) - n % 700 + 5 END
    FROM generate_series(0, 9999) n;

INSERT INTO retention.access_log (at, who, role, action, subject_tag)
    SELECT CAST(:today AS timestamptz) - n * interval '1 minute', 'e-a', 'operator', 'account_viewed', encode(sha256(('t' || n)::bytea), 'hex')
    FROM generate_series(0, 99999) n;

INSERT INTO retention.approval (approval_id, kind, digest, requested_by, requested_at, expires, decided_by, decision, decided_at)
    SELECT md5('p' || n)::uuid, 'night', md5('p' || n), 'e-a', CAST(:today AS timestamptz) - n * interval '1 hour',
    CAST(:today AS timestamptz) - n * interval '1 hour' + interval '1 day', CASE WHEN n > 9 THEN 'e-b' END,
    CASE WHEN n > 9 THEN 'approved' END, CASE WHEN n > 9 THEN CAST(:today AS timestamptz) - n * interval '1 hour' END
    FROM generate_series(0, 9999) n;

INSERT INTO retention.manual_request (request_id, processor, code, made_on, due)
    SELECT md5('m' || n)::uuid, 'paper', 'paper_destruction_order', CAST(:today AS date) - n, CAST(:today AS date) - n + 5
    FROM generate_series(0, 99) n;

INSERT INTO retention.manual_order (order_id, request_id, box, records, answered_on)
    SELECT md5('o' || n)::uuid, md5('m' || n / 200)::uuid, 'B-' || n, 3, CASE WHEN n >= 200 THEN CAST(:today AS date) - 1 END
    FROM generate_series(0, 19999) n;
