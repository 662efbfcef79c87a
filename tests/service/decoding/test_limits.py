"""Limits of a decoder process, under what the system allows it."""

import subprocess
import sys

import pytest

GRANT = """
import resource
from service.decoding.limits import grant_cpu
resource.setrlimit(resource.RLIMIT_CPU, ({hard_s}, {hard_s}))
grant_cpu(1000.0)
print(resource.getrlimit(resource.RLIMIT_CPU)[0])
"""


@pytest.mark.parametrize(("hard_s", "least_s", "most_s"), [("600", 600, 600), ("resource.RLIM_INFINITY", 1001, 1300)])
def test_an_image_is_granted_its_time_or_what_the_system_allows(hard_s: str, least_s: int, most_s: int) -> None:
    code = GRANT.format(hard_s=hard_s)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert least_s <= int(done.stdout) <= most_s
