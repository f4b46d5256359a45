import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bohb_nas import leaving


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    leaving.reset()
    yield
    leaving.reset()


def test_who_is_asked_stays_asked_until_reset() -> None:
    assert not leaving.asked()
    leaving.ask()
    leaving.ask()
    assert leaving.asked()
    leaving.reset()
    assert not leaving.asked()


def test_any_thread_may_ask() -> None:
    thread = threading.Thread(target=leaving.ask)
    thread.start()
    thread.join()
    assert leaving.asked()


def test_the_package_offers_it_without_importing_anything_heavy() -> None:
    program = "import bohb_nas, sys; assert not bohb_nas.leaving.asked(); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
