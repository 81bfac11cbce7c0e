"""Threads and memory of a kernel in which a search runs beside the main thread."""

import sys
import threading
import time

import psutil
import pytest
import torch

from posenfs.model.memory import give_back_memory
from posenfs.widgets.background import compute_alone, leave_cores


def in_a_thread(work):
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is looked up on Linux only")
def test_compute_alone_does_not_change_other_threads(two_threads):
    def alone():
        compute_alone()
        return torch.get_num_threads()

    assert in_a_thread(alone) == 1
    assert torch.get_num_threads() == 2 and in_a_thread(torch.get_num_threads) == 2


def test_results_are_the_same_after_leave_cores(two_threads):
    x = torch.randn(300, 300)
    before = (x.relu() @ x).clone()
    leave_cores()
    leave_cores()
    assert torch.equal(x.relu() @ x, before) and torch.get_num_threads() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="a function of glibc")
def test_memory_of_a_thread_is_given_back():
    process = psutil.Process()

    def fill_and_free():
        blocks = [bytearray(100_000) for _ in range(2000)]
        for block in blocks:
            block[:] = b"x" * len(block)
        return process.memory_info().rss

    full = in_a_thread(fill_and_free)
    give_back_memory()
    time.sleep(0.1)
    assert process.memory_info().rss < full - 100e6
