"""A search that several processes conduct by a journal: each trial is one's, told once, and none is lost with it."""

import json
import multiprocessing as mp
import os
import signal
import subprocess
import time
from collections import Counter

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

import paths_config
from tests.commands import SMALL, Answer, command, environment, house, line, refused
from utils.run_store import RunStore
from utils.search import conductors, journal
from utils.search.conductors import Together, conducted
from utils.search.journal import StudyLock, is_gone, is_silent, journal_file, name_process, open_journal
from utils.search.question import Question
from utils.search.search_words import read
from utils.search.study import count_unfinished, import_optuna

pytestmark = pytest.mark.e2e
optuna = import_optuna()
TOLD = 6  # Optuna's number of the operation by which a trial ends
HOUR = 3600
ELSEWHERE = "elsewhere-0.1.abcd"  # a process of another machine


@pytest.fixture
def own(tmp_path):
    with house(tmp_path) as folder:
        yield folder


def question():
    words = OverridesParser.create().parse_overrides(["a=interval(0,1)", "b=tag(log,interval(0.1,10))"])
    return Question("mine", read(words), {"accuracy": "minimize"}, ())


def conduct(begin, told, trials, most, seconds, stop_after=10**9, sampler="random"):
    """Try points of a formula, ``seconds`` each; die by SIGKILL with a batch open after so many trials."""
    import_optuna()
    asked, done = question(), 0
    begin.wait()
    with conducted(asked, "journal") as conductor:
        while batch := conductor.ask(most, asked.line, trials, sampler, 0):
            for trial, at in batch:
                if done >= stop_after:
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(seconds)
                with conductor.telling(trial) as mine:
                    if mine:
                        conductor.study.tell(trial, (float(at["a"]) - 0.3) ** 2)
                        done += 1
    told.put(done)


def in_processes(*each):
    """Conduct in a process for each of these arguments; how many trials each has told, of those that live."""
    context = mp.get_context("spawn")
    told, begin = context.Queue(), context.Barrier(len(each))
    started = [context.Process(target=conduct, args=(begin, told, *given)) for given in each]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert all(process.exitcode in (0, -signal.SIGKILL) for process in started)
    return [told.get(timeout=5) for process in started if process.exitcode == 0]


def states():
    """The states of the study's trials, and how often each was told."""
    path = paths_config.evals() / "studies" / "mine.log"
    study = optuna.load_study(study_name="mine", storage=open_journal(path, StudyLock(path)))
    entries = [json.loads(entry) for entry in path.read_text().splitlines()]
    return [t.state.name for t in study.trials], Counter(e["trial_id"] for e in entries if e["op_code"] == TOLD)


# --- several processes -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_processes_share_the_trials_and_meet_their_number(own):
    told = in_processes(*[(30, 4, 0.02)] * 3)
    found, times = states()
    assert found == ["COMPLETE"] * 30
    assert set(times.values()) == {1}
    assert sum(told) == 30
    assert min(told) > 0


@pytest.mark.slow
def test_the_trials_of_a_killed_process_are_taken_over_each_once(own):
    told = in_processes((24, 3, 0.03, 2), *[(24, 3, 0.1)] * 2)
    found, times = states()
    assert found == ["COMPLETE"] * 24
    assert set(times.values()) == {1}
    assert sum(told) == 22  # the killed one had told 2


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_every_sampler_asks_for_several_processes(own, sampler):
    in_processes(*[(16, 2, 0.01, 10**9, sampler)] * 2)
    assert states()[0] == ["COMPLETE"] * 16


# --- signs of life ---------------------------------------------------------------------------------------------


def aged(path, seconds):
    """A file of another machine's process, last touched so long ago by the clock of the file server."""
    path.touch()
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))
    return path


@pytest.mark.parametrize(("age", "silent"), [(journal.DEAD + 5, True), (journal.DEAD - 5, False), (-HOUR, False)])
def test_a_sign_of_life_ages_by_the_file_server_s_clock(tmp_path, monkeypatch, age, silent):
    monkeypatch.setattr(time, "time", lambda: 0.0)  # a clock of this machine that is decades off
    assert is_silent(aged(tmp_path / "one", age)) is silent


def test_a_process_of_this_machine_is_known_to_be_gone_at_once():
    ended = subprocess.Popen(["true"])
    ended.wait()
    machine = name_process().partition(".")[0]
    assert is_gone(f"{machine}.{ended.pid}.abcd")
    assert not is_gone(name_process())
    assert not is_gone(ELSEWHERE.replace(".1.", f".{ended.pid}."))


@pytest.fixture
def crewed(own):
    """A study with a trial of a process elsewhere, and this process as a conductor."""
    asked = question()
    with conducted(asked, "journal") as conductor:
        assert isinstance(conductor, Together)
        create = optuna.trial.create_trial
        conductor.study.add_trial(create(state=optuna.trial.TrialState.RUNNING, user_attrs={"conductor": ELSEWHERE}))
        yield conductor, own / "evals/studies/mine.log.conductors" / ELSEWHERE, asked.line


def test_a_trial_of_a_living_process_is_left_alone_and_waited_for(crewed, monkeypatch, capsys):
    conductor, life, one_line = crewed
    aged(life, 60)
    monkeypatch.setattr(conductors.time, "sleep", lambda _: aged(life, journal.DEAD + 5))  # meanwhile it dies
    asked = conductor.ask(5, one_line, 1, "random", 0)
    assert [trial.number for trial, _ in asked] == [0]
    assert "waiting for 1 trial of other processes" in capsys.readouterr().out


def test_a_process_that_slept_does_not_tell_a_trial_that_was_taken_over(crewed):
    conductor, life, one_line = crewed
    [(trial, _)] = conductor.ask(1, one_line, 1, "random", 0)
    trial.set_user_attr("conductor", ELSEWHERE)  # as another process does while this one sleeps
    aged(life, 0)
    with conductor.telling(trial) as mine:
        assert not mine


def test_a_trial_that_is_given_up_is_another_s_and_ends_no_process_in_a_circle(crewed):
    conductor, _, one_line = crewed
    [(trial, _)] = conductor.ask(1, one_line, 1, "random", 0)
    conductor.leave(trial)
    assert conductor.ask(1, one_line, 1, "random", 0) == []
    assert count_unfinished(conductor.study) == 1


# --- the lock and the journal ----------------------------------------------------------------------------------


def test_the_lock_of_a_killed_process_elsewhere_is_taken_over_once_it_is_old(tmp_path):
    lock = tmp_path / "a.log.lock"
    lock.write_text(ELSEWHERE)
    aged(lock, journal.DEAD + 5)
    with StudyLock(tmp_path / "a.log"):
        assert lock.read_text() != ELSEWHERE
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_taken_over_is_not_given_back_by_who_had_it(tmp_path):
    lock = StudyLock(tmp_path / "a.log")
    with lock:
        (tmp_path / "a.log.lock").write_text(ELSEWHERE)
    assert (tmp_path / "a.log.lock").read_text() == ELSEWHERE


def test_an_interrupt_while_waiting_leaves_the_lock_to_its_holder(tmp_path, monkeypatch):
    """Optuna's own locks would remove it."""
    (tmp_path / "a.log.lock").write_text(ELSEWHERE)

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(journal.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        StudyLock(tmp_path / "a.log").acquire()
    assert (tmp_path / "a.log.lock").read_text() == ELSEWHERE


@pytest.mark.slow
def test_a_line_that_a_kill_cut_off_costs_nothing_but_itself(own):
    in_processes((3, 1, 0.0))
    path = own / "evals/studies/mine.log"
    whole = path.read_text()
    path.write_text(whole + '{"op_code":4,"work')
    in_processes((5, 1, 0.0))
    assert states()[0] == ["COMPLETE"] * 5
    assert path.read_text().startswith(whole)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("table.csv", "a,b\n1,2\n", "is no journal"),
        ("nothere/a.log", None, "cannot write to"),
        (".", None, "cannot write to"),
        ("/proc/a.log", None, "cannot write to"),
    ],
)
def test_a_file_that_cannot_be_a_journal_is_one_line(own, name, content, told):
    if content:
        (own / name).write_text(content)
    words = ["trainer.lr=0.01,0.02", "hydra.sweeper.trials=2", f"hydra.sweeper.storage=journal:{own / name}"]
    refused(command("train", "-m", "hydra/sweeper=optuna", *SMALL, *words), told, "hydra.sweeper.storage=journal:")
    assert content is None or (own / name).read_text() == content


def test_the_journal_stands_beside_the_databases_unless_a_file_is_named(own):
    assert journal_file("journal", "mine") == own / "evals/studies/mine.log"
    assert journal_file(f"journal:{own}/a.log", "mine") == own / "a.log"
    assert journal_file(None, "mine") is None
    assert journal_file("sqlite:///a.db", "mine") is None


# --- the command -----------------------------------------------------------------------------------------------


def search(trials):
    return line(
        "train", "-m", "hydra/sweeper=optuna", *SMALL, "dataset.rows=500", "regularizer=causal_adv", "seed=0,1",
        "regularizer.causal_adv.twins=tag(log,interval(0.1,10))", "hydra.sweeper.storage=journal",
        "hydra.sweeper.study=mine", "hydra.sweeper.batch=2", f"hydra.sweeper.trials={trials}",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_three_commands_search_together_though_one_ends_early(own, number):
    started = [
        subprocess.Popen(search(12), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        for _ in range(3)
    ]
    store = RunStore(paths_config.database("loan"))
    limit = time.monotonic() + 240
    while not (store.path.exists() and len(store.all()) >= 6):
        assert time.monotonic() < limit, "no trial within four minutes"
        time.sleep(0.05)
    started[0].send_signal(number)
    ended = []
    for process in started:
        out, err = process.communicate(timeout=400)
        ended.append(Answer(process.returncode, out, err))
    assert [answer.code for answer in ended[1:]] == [0, 0], ended
    assert ended[0].code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    found, times = states()
    assert found == ["COMPLETE"] * 12
    assert set(times.values()) == {1}
    rows = store.all()
    assert len({row["run_id"] for row in rows}) == len(rows) == 24
    found = {answer.out.partition("\nstudy mine: ")[2] for answer in ended[1:]}
    assert len(found) == 1  # both show the whole study
    assert found.pop().startswith("trials with a result: 12\n")
