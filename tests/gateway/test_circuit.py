"""Circuit breakers, with a clock of the test's own."""

from agentic_gateway.call.circuit import Circuits

KEY = ("uid", "acme-default", "openai")


def opened() -> Circuits:
    circuits = Circuits(failures=3, seconds=10)
    for now in (0, 1, 2):
        assert circuits.admits(KEY, now)
        circuits.failed(KEY, now, "answered 500")
    return circuits


def test_failures_in_a_row_open_it() -> None:
    circuits = opened()
    assert not circuits.admits(KEY, 3)
    assert circuits.retry_after(KEY, 3) == 9
    assert circuits.reason(KEY) == "answered 500"
    assert circuits.states() == {"open": 1, "half_open": 0}


def test_a_success_in_between_starts_the_count_again() -> None:
    circuits = Circuits(failures=2, seconds=10)
    circuits.failed(KEY, 0, "x")
    circuits.succeeded(KEY)
    circuits.failed(KEY, 1, "x")
    assert circuits.admits(KEY, 2)


def test_an_open_circuit_admits_one_probe_that_decides() -> None:
    circuits = opened()
    assert circuits.admits(KEY, 12)
    assert not circuits.admits(KEY, 12), "only one at a time"
    assert circuits.states() == {"open": 0, "half_open": 1}
    circuits.failed(KEY, 13, "answered 500")
    assert not circuits.admits(KEY, 22)
    assert circuits.admits(KEY, 23)
    circuits.succeeded(KEY)
    assert circuits.admits(KEY, 23)
    assert circuits.states() == {"open": 0, "half_open": 0}


def test_a_probe_that_was_abandoned_is_sent_again() -> None:
    circuits = opened()
    assert circuits.admits(KEY, 12)
    circuits.abandoned(KEY)
    assert circuits.admits(KEY, 12)


def test_providers_do_not_share_a_circuit() -> None:
    circuits = opened()
    for other in (("uid", "globex-default", "openai"), ("next", "acme-default", "openai")):
        assert circuits.admits(other, 3)
        assert circuits.retry_after(other, 3) == 0


def test_the_number_of_circuits_is_bounded() -> None:
    circuits = Circuits(failures=1, seconds=10, max_circuits=100)
    for number in range(105):
        circuits.failed(("uid", str(number), "a"), 0, "x")
    assert circuits.states()["open"] == 100
    assert circuits.admits(("uid", "0", "a"), 0)
