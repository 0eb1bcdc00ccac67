"""What a long work says of itself on stderr: at a terminal a bar, in a log lines."""

import io
import sys
import time

import pytest

from smearsynth.base import progress
from smearsynth.base.progress import ProgressBar, say, with_progress
from smearsynth.base.workers import in_processes


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_FIRST", 0.02)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_with_what_is_done_the_speed_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(what="small", unit="smears", total=1500, shown=True) as bar:
        bar.update(100)
        time.sleep(0.03)
        bar.update(1100)
        bar.update(100)  # within a minute of the first line
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "\r" not in err
    said = err.rstrip().split(", ")
    assert said[0] == "small: 1,200 of 1,500 smears"
    assert said[1].endswith(" smears/s")
    assert said[2:] == ["00:00 left"]  # 300 more, at some 40,000 per second


def test_the_speed_is_without_what_was_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(what="epoch 2/2", unit="steps", total=1010, done=1000, shown=True) as bar:
        bar.set_postfix_str("loss 0.1", refresh=False)
        time.sleep(0.03)
        bar.update(1)
        line = bar.line()
    rate = float(line.split(", ")[1].split(" ")[0])
    assert rate <= 1 / 0.03
    assert capsys.readouterr().err.endswith(", loss 0.1\n")


def test_what_is_done_at_once_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_FIRST", 60.0)
    assert list(with_progress(iter("abc"), what="read", unit="letters", total=3, shown=True)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_silence_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in with_progress(range(2), what="read", unit="numbers", shown=False):
        time.sleep(0.03)
    assert capsys.readouterr() == ("", "")


def test_a_line_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, bar_is_drawn in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        with ProgressBar(what="read", unit="images", total=2, shown=True) as bar:
            bar.update()
            say("a.png is grey")
        assert ("\r" in stream.getvalue()) == bar_is_drawn
        assert "a.png is grey\n" in stream.getvalue()


def test_work_in_processes_is_heard_of_while_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def long(_: int, __: object) -> None:
        time.sleep(1.3)

    with ProgressBar(what="cut cells", unit="images", total=1, shown=True) as bar:
        list(in_processes(long, [0], workers=1, tick=bar.update))
    assert capsys.readouterr().err == "cut cells: 0 of 1 images\n"
