"""Whether a request's body has the types of the API's fields."""

import json

import pytest

from headrace.emulator import shapes
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call

ABOVE = "/v1/projects/{project}/locations/{location}"
JOBS, SCHEDULES, ENDPOINTS = f"{ABOVE}/pipelineJobs", f"{ABOVE}/schedules", f"{ABOVE}/endpoints"
RUNS = "/apis/v2beta1/runs"


def read(template, body, method="POST"):
    return Call(method, "/", {}, {}, {}, json.dumps(body).encode(), template=template).json


def test_names_and_numbers_have_one_form():
    sent = {"display_name": "a", "maxConcurrentRunCount": 3, "catchUp": None, "maxRunCount": "7", "newer": [1]}
    assert read(SCHEDULES, sent) == {
        "displayName": "a", "maxConcurrentRunCount": "3", "maxRunCount": "7", "newer": [1]
    }  # fmt: skip
    assert read(ENDPOINTS, {"trafficSplit": {"1": 100.0, "2": "0"}}) == {"trafficSplit": {"1": 100, "2": 0}}
    assert read(RUNS, {"displayName": "r", "runtimeConfig": {"parameters": {"aB": None}}}) == {
        "display_name": "r",
        "runtime_config": {"parameters": {"aB": None}},
    }


def test_what_is_free_stays_as_it_is():
    sent = {"pipelineSpec": {"a_b": None}, "runtimeConfig": {"parameterValues": {"x_y": [None, 1.5]}}}
    assert read(JOBS, sent) == sent
    assert read("/v1/other", {"display_name": None}) == {"display_name": None}


@pytest.mark.parametrize(
    ("template", "body", "at"),
    [
        (JOBS, {"pipelineSpec": 1}, "'pipelineSpec' (google.protobuf.Struct), 1"),
        (JOBS, {"labels": {"a": 1}}, "'labels.a' (TYPE_STRING), 1"),
        (JOBS, {"labels": ["a"]}, "'labels' (a map)"),
        (JOBS, {"runtimeConfig": "x"}, "'runtimeConfig' (PipelineJob.RuntimeConfig)"),
        (JOBS, {"runtimeConfig": {"failurePolicy": True}}, "'runtimeConfig.failurePolicy' (TYPE_ENUM)"),
        (JOBS, {"reservedIpRanges": "x"}, "'reservedIpRanges' (a list)"),
        (f"{JOBS}:batchCancel", {"names": [1]}, "'names[0]' (TYPE_STRING)"),
        (SCHEDULES, {"maxRunCount": 1.5}, "'maxRunCount' (TYPE_INT64), 1.5"),
        (SCHEDULES, {"maxRunCount": 10**30}, "TYPE_INT64"),
        (SCHEDULES, {"catchUp": "yes"}, "TYPE_BOOL"),
        (SCHEDULES, {"startTime": "2030-01-01"}, "google.protobuf.Timestamp"),
        (SCHEDULES, {"startTime": "noon"}, "google.protobuf.Timestamp"),
        (ENDPOINTS, {"trafficSplit": {"1": True}}, "'trafficSplit.1' (TYPE_INT32)"),
        (RUNS, {"runtime_config": []}, "'runtime_config'"),
        (JOBS, {"displayName": "\udc80"}, "Invalid JSON payload"),
    ],
)
def test_other_types_are_refused(template, body, at):
    with pytest.raises(Refusal) as refused:
        read(template, body)
    assert refused.value.code == "INVALID_ARGUMENT" and at in refused.value.message


@pytest.mark.slow
def test_the_file_is_what_the_clients_libraries_say():
    from tools import emulator_shapes

    assert shapes.FILE.read_text() == emulator_shapes.text()
