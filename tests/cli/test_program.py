"""The command in a process of its own: its version, interrupts, readers that go away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run_python(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


# A shell starts what it runs in the background with interrupts ignored; these tests want them whoever runs them.
PROGRAM = """
import signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
from graphnet_command import main

sys.exit(main())
"""


def test_python_m_graphnet_is_the_command():
    with run_python("-m", "graphnet", "--help") as process:
        out, error = process.stdout.read(), process.stderr.read()
    assert (process.returncode, error) == (0, "")
    assert all(name in out for name in ("train", "predict", "draw", "bench", "inspect"))


def test_the_installed_program_says_its_version():
    with run_python("-m", "graphnet_command", "--version") as process:
        out, error = process.stdout.read(), process.stderr.read()
    assert (process.returncode, error) == (0, "")
    assert out.startswith("graphnet ")


def test_an_interrupt_is_quiet(tmp_path):
    body = "import time\n\n\ndef build():\n    print('up', flush=True)\n    time.sleep(60)\n"
    (tmp_path / "slow.py").write_text(f"INPUT_SHAPE = (1, 8, 8)\n{body}")
    with run_python("-c", PROGRAM, "train", tmp_path / "slow.py") as process:
        assert process.stdout.readline() == "up\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 130


def test_an_interrupt_while_packages_are_imported_is_quiet():
    with run_python("-v", "-c", PROGRAM, "--help") as process:  # -v tells each import on standard error
        for line in process.stderr:
            if line.startswith("import 'numpy.exceptions'"):
                break
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 130


@pytest.mark.skipif(os.name != "posix", reason="pipes break in other ways elsewhere")
def test_a_reader_that_stops_reading_is_no_error():
    with run_python("-m", "graphnet", "inspect", "models/lenet.py") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
