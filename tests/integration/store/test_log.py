"""Every transition that a replica writes is one line of its log, and nothing secret is in it."""

from structlog.testing import capture_logs

from app.model import Change, Event, Record, Status
from app.store.sessions import SessionStore


async def test_one_line_a_transition(store: SessionStore) -> None:
    with capture_logs() as lines:
        started = await store.start("shop-1", owner="replica-1", starting_in_ms=1_000, connecting_in_ms=1_000)
        offered = Change(
            event=Event.QR,
            status=Status.QR,
            set={"qr": "SECRET-QR-TEXT", "qr_id": "x", "qr_count": 1, "qr_limit": 6},
            qr_in_ms=1_000,
            deadline_in_ms=2_000,
        )
        record = await store.advance("shop-1", epoch=started.record.epoch, seq=started.record.seq, change=offered)
        assert isinstance(record, Record)
        reset = await store.reset("shop-1")
        assert reset is not None
    written = [line for line in lines if line["event"] == "transition"]
    assert [(line["happened"], line["status"], line["seq"]) for line in written] == [
        ("start", "starting", started.record.seq),
        ("qr", "qr", record.seq),
        ("reset", "idle", reset.seq),
    ]
    assert {line["session"] for line in written} == {"shop-1"}
    assert written[-1]["reason"] == "force_reset"
    assert written[-1]["epoch"] == reset.epoch
    assert "SECRET" not in str(lines)


async def test_what_was_live_already_is_not_logged_again(store: SessionStore) -> None:
    await store.start("shop-1", owner="replica-1", starting_in_ms=1_000, connecting_in_ms=1_000)
    with capture_logs() as lines:
        await store.start("shop-1", owner="replica-2", starting_in_ms=1_000, connecting_in_ms=1_000)
    assert not [line for line in lines if line["event"] == "transition"]
