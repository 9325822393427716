"""Texts are taken apart and put together without being changed."""

from __future__ import annotations

import math

import pytest

from edictum_guard import raw


def test_members_keep_their_texts_and_order() -> None:
    text = ' { "a" : 1.0 , "b":[1,{"c":"]}"}],"a":"x", "n":12345678901234567890 } '
    expected = [("a", "1.0"), ("b", '[1,{"c":"]}"}]'), ("a", '"x"'), ("n", "12345678901234567890")]
    assert raw.members(text) == expected
    assert raw.member(text, "a") == '"x"'
    assert raw.elements('[1, {"a":2} ,"x"]') == ["1", '{"a":2}', '"x"']
    assert raw.members("{}") == [] == raw.elements("[ ]")


def test_depth_and_length_beyond_any_parser_pass_through() -> None:
    deep, long = "[" * 50_000 + "]" * 50_000, "1" * 6_000
    assert raw.member('{"x":' + deep + "}", "x") == deep
    assert raw.member('{"n":' + long + "}", "n") == long


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"a":NaN}', '{"a":1}x', '{"a" 1}', "{'a':1}", '{"a":1,}', '{"a":1', '{"a":Infinity}']
)
def test_what_is_no_object_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError):
        raw.members(text)


def test_any_python_value_has_a_text() -> None:
    assert raw.printed({"a": math.nan, (1, 2): {3, 1}, "b": b"x", "c": ("x",)}) == (
        '{"a":"nan","(1, 2)":[1,3],"b":"b\'x\'","c":["x"]}'
    )
    assert raw.quoted("a\ud800é") == '"a\\ud800\\u00e9"'
    assert raw.printed(10**25) == "10000000000000000000000000"
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError):
        raw.printed(circle)
