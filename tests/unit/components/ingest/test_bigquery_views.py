"""What a query of BigQuery names where tables may stand."""

import pytest

from headrace.components.ingest.sources.bigquery_views import Unfollowable, named


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT * FROM d.t", ["d.t"]),
        ("select t.a, t.b from `p.d.t` as t, d.u u where t.a = u.b", ["p.d.t", "d.u"]),
        ("SELECT a FROM `my-project`.d . `t` LEFT JOIN my-project.d.u ON f(t.x, u.y) , d.v", ["my-project.d.t", "my-project.d.u", "d.v"]),
        ("SELECT a FROM (SELECT b FROM (d.t JOIN d.u USING (k, l)))", ["d.t", "d.u"]),
        ("WITH x AS (SELECT * FROM d.t), y AS (SELECT * FROM d.u) SELECT x.a, y.b FROM x JOIN y USING (k)", ["d.t", "d.u"]),
        ("SELECT 'FROM d.a', \"FROM d.b\", '''FROM d.c''' -- FROM d.e\nFROM d.t # FROM d.f\n/* FROM\nd.g */ LIMIT 3", ["d.t"]),
        ("SELECT 'it\\'s FROM d.a' FROM d.t", ["d.t"]),
        ("SELECT a--b\nFROM d.t", ["d.t"]),
        ("SELECT * FROM d.t, UNNEST(t.items) AS i ORDER BY t.a, t.b", ["d.t"]),
        ("SELECT * FROM d.events_* WHERE SAFE.DIVIDE(t.a, t.b) > NET.HOST(t.c)", ["d.events_*"]),
        ("SELECT EXTRACT(DAY FROM t.at) FROM d.t", ["t.at", "d.t"]),
        ("SELECT 1 FROM d.t UNION ALL SELECT 2 FROM d.u GROUP BY t.a, t.b", ["d.t", "d.u"]),
    ],
)  # fmt: skip
def test_names(query, names):
    assert named(query) == names


@pytest.mark.parametrize(
    "query",
    [
        "SELECT d.twice(a) FROM d.t",
        "SELECT * FROM d.recent (7)",
        "SELECT * FROM ML.PREDICT(MODEL d.m, TABLE d.t)",
        "SELECT table_name FROM d.INFORMATION_SCHEMA.TABLES",
    ],
)
def test_what_no_text_tells(query):
    with pytest.raises(Unfollowable):
        named(query)
