"""Threads and memory of a kernel in which a search runs beside the main thread."""

import sys
import threading
import time

import psutil
import pytest
import torch

from posenfs.model.memory import give_back_memory
from posenfs.workbench.threads import compute_alone, leave_cores


def in_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is looked for on Linux alone")
def test_a_thread_that_computes_alone_leaves_the_others_as_they_are(two_threads):
    def alone():
        compute_alone()
        return torch.get_num_threads()

    assert in_a_thread(alone) == 1
    assert torch.get_num_threads() == 2 and in_a_thread(torch.get_num_threads) == 2


def test_threads_given_up_come_back_with_the_same_numbers(two_threads):
    x = torch.randn(300, 300)
    before = (x.relu() @ x).clone()
    leave_cores()
    leave_cores()
    assert torch.equal(x.relu() @ x, before) and torch.get_num_threads() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_a_thread_kept_is_given_back():
    process = psutil.Process()

    def fill_and_free():
        kept = [bytearray(100_000) for _ in range(2000)]
        for piece in kept:
            piece[:] = b"x" * len(piece)
        return process.memory_info().rss

    full = in_a_thread(fill_and_free)
    give_back_memory()
    time.sleep(0.1)
    assert process.memory_info().rss < full - 100e6
