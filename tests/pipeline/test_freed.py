"""Memory that was freed is given back now and then, where the C library keeps it."""

import os
import sys

import pytest

from spacy_gliner.pipeline import ahead, freed
from spacy_gliner.pipeline.freed import Freed, trimming


def test_memory_is_given_back_of_every_so_many_pieces(monkeypatch):
    monkeypatch.setattr(freed, "SHARE", 1e9)
    given_back = []
    counting = Freed(lambda: given_back.append(1), pieces=100)
    seen = []
    for n_pieces in (40, 40, 40, 99, 1, 250, 0):
        counting.after(n_pieces)
        seen.append(len(given_back))
    assert seen == [0, 0, 1, 1, 2, 3, 3]


def test_giving_back_takes_a_share_of_the_time_at_most(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(freed.time, "perf_counter", lambda: clock[0])
    given_back = []

    def give_back():
        given_back.append(clock[0])
        clock[0] += 2.0

    counting = Freed(give_back, pieces=1)
    for _ in range(1000):
        clock[0] += 1.0
        counting.after(5)
    assert given_back == [1.0, 203.0, 405.0, 607.0, 809.0]


def test_nothing_is_done_where_nothing_is_to_be_given_back():
    counting = Freed(None, pieces=1)
    counting.after(10)


@pytest.mark.parametrize(
    "platform, library, helps",
    [
        ("linux", "glibc 2.36", True),
        ("linux", "glibc 2.37.9000", True),
        ("linux", "glibc 2.38", False),
        ("linux", "glibc 3.0", False),
        ("linux", "", False),
        ("darwin", "glibc 2.36", False),
    ],
)
def test_older_versions_of_the_gnu_c_library_are_helped(monkeypatch, platform, library, helps):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(freed, "_c_library", lambda: library)
    monkeypatch.setattr(freed, "CDLL", lambda name: type("Library", (), {"malloc_trim": staticmethod(lambda pad: pad)}))
    assert (trimming() is not None) == helps


def test_a_c_library_that_cannot_be_asked_is_left_alone(monkeypatch):
    def refuse(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", refuse, raising=False)
    assert trimming() is None


def test_this_c_library_can_be_asked():
    give_back = trimming()
    assert give_back is None or give_back() in (0, 1)


def test_every_pass_is_counted(make_nlp, monkeypatch):
    counted = []
    monkeypatch.setattr(ahead, "freed", type("Counting", (), {"after": staticmethod(counted.append)}))
    nlp = make_nlp(labels=["person"])
    list(nlp.pipe(["Ada met Bill .", "", "Bill met Ada in Paris ."]))
    assert sum(counted) > 10
    counted.clear()
    nlp("Ada met Bill .")
    nlp("")
    assert len(counted) == 1
