"""Changes of a schema in its text: what people wrote stays."""

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2

from headrace.artifacts.schema import format_schema, parse_schema
from headrace.pipelines.schema.edit import Edit, edit_feature
from headrace.pipelines.schema.text import rewritten

TEXT = """\
# headrace schema, format 1
# Curated by the billing team.

# --- who they are ---
feature {
  name: "age"   # in years
  # the law says 18
  type: INT
  presence { min_fraction: 0.95 min_count: 1 }
}
feature { name: "plan" type: BYTES domain: "plan" }  # sold since 2019
feature: <
  name: 'note # not a comment' type: BYTES
>

string_domain {
  name: "plan"
  value: "basic"   # the old one
  value: "pro"
}
# labels last
feature { name: "churned" type: BYTES not_in_environment: "SERVING" }
default_environment: "TRAINING"
default_environment: "SERVING"
"""


def edited(name: str, edit: Edit, text: str = TEXT) -> tuple[str, schema_pb2.Schema]:
    schema = parse_schema(text)
    edit_feature(schema, name, edit)
    new = rewritten(text, schema)
    assert parse_schema(new) == schema
    return new, schema


def test_nothing_changed_is_the_same_text():
    assert rewritten(TEXT, parse_schema(TEXT)) == TEXT


def test_only_the_changed_feature_is_written_anew():
    new, _ = edited("plan", Edit(drift=0.1))
    before, _, after = TEXT.partition('feature { name: "plan" type: BYTES domain: "plan" }')
    assert new.startswith(before) and new.endswith(after)
    assert "drift_comparator {" in new


def test_comments_in_a_changed_feature_stay_with_their_fields():
    new, _ = edited("age", Edit(presence=0.9, range=(18, 120)))
    lines = [line.strip() for line in new.splitlines()]
    assert 'name: "age"  # in years' in lines
    assert lines[lines.index("# the law says 18") + 1] == "type: INT"
    assert "int_domain {" in lines


def test_a_changed_domain_keeps_the_comments_of_its_values():
    new, _ = edited("plan", Edit(add_values=["plus"]))
    assert '  value: "basic"  # the old one\n  value: "pro"\n  value: "plus"\n' in new
    assert "# labels last\n" in new and "}  # sold since 2019\n" in new


def test_a_domain_that_nobody_uses_any_more_goes():
    new, schema = edited("plan", Edit(domain=[]))
    assert "string_domain" not in new and not schema.string_domain


def test_a_new_feature_is_appended():
    schema = parse_schema(TEXT)
    schema.feature.add(name="région", type=schema_pb2.FLOAT)
    new = rewritten(TEXT, schema)
    assert new == TEXT + 'feature {\n  name: "région"\n  type: FLOAT\n}\n'
    assert parse_schema(new) == schema


def test_environments_that_a_feature_needs_are_added():
    text = 'feature { name: "label" type: BYTES }  # told later\n'
    new, _ = edited("label", Edit(at_serving=False), text)
    assert new.count("default_environment") == 2 and "# told later" in new


def test_a_list_of_features_is_written_anew_as_a_whole():
    text = '# ours\nfeature: [{ name: "a" type: INT }, { name: "b" type: INT }]\n'
    new, _ = edited("b", Edit(range=(0, None)), text)
    assert new.startswith("# ours\nfeature {")


names = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())


@settings(max_examples=150, deadline=None)
@given(
    features=st.lists(
        st.tuples(names, st.sampled_from(["INT", "FLOAT", "BYTES"])), min_size=1, max_size=5, unique_by=lambda f: f[0]
    ),
    values=st.lists(names, min_size=1, max_size=4),
    compact=st.booleans(),
    data=st.data(),
)
def test_any_schema_can_be_edited(features, values, compact, data):
    schema = schema_pb2.Schema()
    for name, kind in features:
        schema.feature.add(name=name, type=schema_pb2.FeatureType.Value(kind))
    text = text_format.MessageToString(schema, as_utf8=True, as_one_line=True) if compact else format_schema(schema)
    name, kind = data.draw(st.sampled_from(features))
    edit = Edit(domain=values, min_domain_mass=0.5) if kind == "BYTES" else Edit(range=(0, 10), drift=0.2)
    edited(name, edit, text)


@pytest.mark.parametrize("text", [TEXT, format_schema(parse_schema(TEXT))])
def test_edits_one_after_another(text):
    for name, edit in [
        ("plan", Edit(domain=["a", "b"], min_domain_mass=0.99)),
        ("plan", Edit(type="INT")),
        ("age", Edit(type="FLOAT", deprecated=True)),
        ("churned", Edit(at_serving=True, presence=1.0)),
        ("plan", Edit(range=(0, 5))),
        ("age", Edit(deprecated=False, presence=0)),
    ]:
        text, _ = edited(name, edit, text)
    assert text.startswith("# headrace schema, format 1\n")
