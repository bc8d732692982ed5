"""The page that is served and follows its database: what it answers, whom, and that the view stays in a browser."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

import paths_config
from evals import report
from evals.page.content import content
from evals.page.serving import Followed, Server
from evals.records import query
from tests.benchmarks import bench_report
from tests.commands import command, refused
from tests.evals.chromium import browser, executable
from utils.run_store import RunStore


@pytest.fixture(scope="module")
def jobs():
    return [made | {"doc_id": i} for i, made in enumerate(bench_report.records(12), start=1)]


@pytest.fixture
def folder(tmp_path, monkeypatch, jobs):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, jobs[:6])
    return tmp_path


def write(folder, records):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    part = folder / "celeba_jobs.part"
    part.write_text(json.dumps({"_default": stored}))
    part.replace(folder / "celeba_jobs.json")


@contextmanager
def served():
    """A server of the database in this process; gives its address as (host, port)."""
    options = query.options(["dataset=celeba_jobs", "live=true"], report.OPTIONS)
    followed = Followed(
        paths_config.database("celeba_jobs"), lambda: report.embed(content(query.read("celeba_jobs"), options))
    )
    with Server(followed, lambda data, tag: report._document("jobs", data, tag), None) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path="/data", method="GET", **headers):
    line = http.client.HTTPConnection(*server.server_address, timeout=10)
    line.request(method, path, headers=headers)
    answer = line.getresponse()
    return answer, answer.read()


# --- what it answers -------------------------------------------------------------------------------------------


def test_it_gives_the_page_and_its_data_and_nothing_twice(folder):
    with served() as server:
        answer, body = ask(server, "/")
        assert answer.status == 200
        assert body.startswith(b"<!doctype html>")
        assert b"connect-src 'self'" in body
        answer, body = ask(server)
        assert (answer.status, json.loads(body)["runs"]["n"]) == (200, 6)
        tag = answer.headers["ETag"]
        again, nothing = ask(server, **{"If-None-Match": tag})
        assert (again.status, nothing, again.headers["ETag"]) == (304, b"", tag)
        head, nothing = ask(server, method="HEAD")
        assert (head.status, nothing, int(head.headers["Content-Length"])) == (200, b"", len(body))


def test_new_records_come_with_a_new_tag(folder, jobs):
    with served() as server:
        first, _ = ask(server)
        write(folder, jobs)
        answer, body = ask(server, **{"If-None-Match": first.headers["ETag"]})
        assert (answer.status, json.loads(body)["runs"]["n"]) == (200, 12)


def test_records_that_jobs_delivered_come_with_a_new_tag(folder, jobs, monkeypatch):
    with served() as server:
        first, _ = ask(server)
        with monkeypatch.context() as there:
            there.setenv("TRILEMMA_DELIVER", "1")
            RunStore(folder / "celeba_jobs.json").add_many(jobs[6:])
        answer, body = ask(server, **{"If-None-Match": first.headers["ETag"]})
        assert (answer.status, json.loads(body)["runs"]["n"]) == (200, 12)


def test_a_database_that_cannot_be_read_is_said_and_forgotten_once_it_can(folder, jobs):
    with served() as server:
        (folder / "celeba_jobs.json").write_text("{")
        answer, body = ask(server)
        assert answer.status == 503
        assert b"celeba_jobs.json" in body
        assert ask(server, "/")[0].status == 200  # with what was read last
        write(folder, jobs)
        assert ask(server)[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_nothing_but_get_and_head_is_answered(folder, method):
    with served() as server:
        assert ask(server, "/", method)[0].status == 501


PATHS = ("/celeba_jobs.json", "/../celeba_jobs.json", "//etc/passwd", "/%2e%2e/etc/passwd", "/data/", "/?x", "*", "")


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_the_disk_is_reached(folder, path):
    with served() as server:
        answer, body = ask(server, path or "data")
        assert answer.status == 404
        assert b"_default" not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", ""])
def test_another_host_is_refused(folder, host):
    """As a site asks for whose name an attacker lets point to this machine (DNS rebinding)."""
    with served() as server:
        answer, body = ask(server, Host=host.format(port=server.server_port))
        assert answer.status == 403
        assert b"metrics" not in body
        assert ask(server, Host=f"localhost:{server.server_port}")[0].status == 200
        assert server.server_address[0] == "127.0.0.1"


def test_no_other_page_may_frame_or_read_it(folder):
    with served() as server:
        headers = ask(server)[0].headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Access-Control-Allow-Origin"] is None


# --- the command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["live=true", "out=a.html"], "serves the page and writes no file"),
        (["port=8000"], "write live=true too"),
        (["live=true", "port=0"], "port=0"),
        (["live=true", "port=70000"], "port=70000"),
        (["live=maybe"], "true or false"),
        (["live=true", "where=accuracy>2"], "leaves none of the 6 runs"),
    ],
)
def test_a_wrong_word_is_one_line_and_nothing_is_served(folder, words, message):
    refused(command("evals.report", "dataset=celeba_jobs", *words), message)


def test_a_port_that_is_taken_is_said(folder):
    with served() as server:
        answer = command("evals.report", "dataset=celeba_jobs", "live=true", f"port={server.server_port}")
    refused(answer, f"port={server.server_port}: Address already in use; leave port out to take a free one")


def test_an_interrupt_ends_it_in_order(folder):
    words = [sys.executable, "-m", "evals.report", "dataset=celeba_jobs", "live=true"]
    environment = os.environ | {"PYTHONPATH": str(paths_config.ROOT)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        line = running.stdout.readline()
        assert line.startswith("http://127.0.0.1:")
        assert "shows celeba_jobs and follows it; Ctrl+C ends it" in line
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (0, "no longer served\n", "")


# --- in a browser ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(executable() is None, reason="no Chromium found; TRILEMMA_CHROMIUM names it")
def test_new_runs_come_into_the_view_that_there_is(folder, jobs):
    """The limit, what is looked at closely, the record, what is typed and the focus stay; then the server goes."""
    pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r tests/requirements.txt")
    with browser() as running:
        page = running.new_page()
        page.add_init_script(
            "{ const later = setTimeout; window.setTimeout = (work, wait) => later(work, wait / 20); }"
        )
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        with served() as server:
            page.goto(f"{server.address}#seeds=runs&points=none&need=fnr_gap<=0.15&pick=2&zoom=0.6..0.7..0..0.2")
            page.locator("#record summary", has_text="All metrics").click()
            axes, state = page.evaluate("trilemma.axes()"), page.evaluate("trilemma.state")
            page.locator("#x").focus()
            page.keyboard.type("mcc")
            write(folder, jobs)
            page.locator("#meta", has_text="12 runs").wait_for()
            assert len(page.evaluate("trilemma.order()")) == 12
            assert page.evaluate("trilemma.axes()") == pytest.approx(axes)
            assert page.evaluate("trilemma.state") == state
            assert page.locator("#x").input_value() == "mcc"
            assert page.evaluate("document.activeElement.id") == "x"
            assert page.locator("#record details[open]").count() == 1
            page.locator("#rows tr").nth(3).focus()
            code = page.evaluate("document.activeElement.dataset.code")
            write(folder, jobs[:9])
            page.locator("#meta", has_text="9 runs").wait_for()
            assert page.evaluate("document.activeElement.dataset.code") == code
            assert page.locator("#live").inner_text() == "Live: follows the database"
        page.locator("#live", has_text="no longer served").wait_for()
        assert complaints == []
