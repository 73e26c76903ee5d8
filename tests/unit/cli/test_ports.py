"""The address that the service listens on."""

import os
import re
import socket
import sys

import pytest

from api.cli import errors, ports


@pytest.fixture
def taken():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_a_port_in_use_is_named_with_what_to_do(taken):
    with pytest.raises(errors.Failure) as caught:
        ports.claim("127.0.0.1", taken)
    assert f"port {taken} on 127.0.0.1 is in use" in caught.value.message
    assert re.search(r"--port \d+, or VECMARK_PORT=\d+", caught.value.message)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_holder_of_a_port_is_named(taken):
    assert f"process {os.getpid()} " in (ports.holder(taken) or "")


def test_a_claimed_port_can_not_be_claimed_twice(taken):
    free = free_port()
    with (
        ports.claim("127.0.0.1", free),
        pytest.raises(errors.Failure, match=f"port {free} on 127.0.0.1 is in use"),
    ):
        ports.claim("127.0.0.1", free)


def test_an_address_of_another_machine_is_explained():
    with pytest.raises(errors.Failure, match="not an address of this machine"):
        ports.claim("192.0.2.1", 8000)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
