"""The proxy itself: its process, what it tells, and what it refuses. The server is a socket of the test's own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import testtools
from sqlalchemy.engine import make_url

from dbkit.exceptions import BackendNotAvailable, UsageError
from dbkit.testing import faults
from dbkit.testing.faults.kinds import DIALOGUES
from dbkit.testing.servers.kinds import database_kinds
from dbkit.testing.servers.polling import wait_until
from dbkit.testing.servers.ports import is_free
from dbkit.testing.servers.processes import has_ended
from dbkit.tests.faults.speech import READY, WELCOME, done, query, startup

BOUND_S = 20


class Postgres(threading.Thread):
    """A server that greets, and answers every query with its tag."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = []
        self.bytes = b""
        self.half_sent = threading.Event()
        self.rest_wanted = threading.Event()
        self.rest_wanted.set()
        self.start()

    def run(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream, contextlib.suppress(ConnectionResetError):
            stream.recv(1000)
            stream.sendall(WELCOME)
            while data := stream.recv(1000):
                text = data[5:-1].decode()
                self.heard.append(text)
                self.bytes += data
                stream.sendall(done(text))
                self.half_sent.set()
                self.rest_wanted.wait(BOUND_S)
                stream.sendall(READY)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Proxied(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.server = Postgres()
        self.addCleanup(self.server.stop)
        self.proxy = faults.proxy(("127.0.0.1", self.server.port), "postgresql").__enter__()
        self.addCleanup(self.proxy.close)

    def client(self):
        """Return a connection that has been greeted."""
        stream = socket.create_connection((self.proxy.host, self.proxy.port), timeout=BOUND_S)
        self.addCleanup(stream.close)
        stream.sendall(startup())
        self.assertEqual(WELCOME, self.read(stream, len(WELCOME)))
        return stream

    def read(self, stream, count):
        data = b""
        while len(data) < count and (part := stream.recv(count - len(data))):
            data += part
        return data

    def answer(self, text):
        return done(text) + READY


class TestBytes(Proxied):
    """What the client gets, to the byte."""

    def test_without_a_fault_all_of_it(self):
        stream = self.client()
        stream.sendall(query("COMMIT"))
        self.assertEqual(self.answer("COMMIT"), self.read(stream, len(self.answer("COMMIT"))))

    def test_a_fault_after_a_statement_waits_for_the_whole_reply(self):
        for point in (faults.after("COMMIT"), faults.during("COMMIT", 3)):
            stream = self.client()
            self.server.half_sent.clear()
            self.server.rest_wanted.clear()
            with self.proxy.cut(point, reset=False) as fault:
                stream.sendall(query("COMMIT"))
                self.assertTrue(self.server.half_sent.wait(BOUND_S))
                # what had come to the proxy before the first question is dealt with before the answer to the second
                self.assertEqual([0, 0], [fault.fired, fault.fired])
                self.server.rest_wanted.set()
                self.assertEqual(point.bytes, len(self.read(stream, 100)))

    def test_a_torn_reply_has_so_many_bytes(self):
        for reset in (True, False):
            for count in range(len(self.answer("COMMIT"))):
                stream = self.client()
                with self.proxy.cut(faults.during("COMMIT", count), reset=reset):
                    stream.sendall(query("COMMIT"))
                    got = self.read(stream, count)
                    self.assertEqual(self.answer("COMMIT")[:count], got)
                    if reset:
                        self.assertRaises(ConnectionResetError, stream.recv, 1)
                    else:
                        self.assertEqual(b"", stream.recv(1))

    def test_the_rest_of_a_torn_reply_comes_when_it_is_released(self):
        stream = self.client()
        with self.proxy.hold(faults.during("COMMIT", 5)) as fault:
            stream.sendall(query("COMMIT"))
            self.assertEqual(self.answer("COMMIT")[:5], self.read(stream, 5))
            fault.wait()
            stream.setblocking(False)
            self.assertRaises(BlockingIOError, stream.recv, 1)
            stream.settimeout(BOUND_S)
            fault.release()
            rest = self.answer("COMMIT")[5:]
            self.assertEqual(rest, self.read(stream, len(rest)))

    def test_what_comes_behind_a_held_message_keeps_its_order(self):
        stream = self.client()
        with self.proxy.hold(faults.before("COMMIT")) as fault:
            stream.sendall(query("BEGIN") + query("COMMIT") + query("SELECT 2"))
            fault.wait()
            self.assertEqual(self.answer("BEGIN"), self.read(stream, len(self.answer("BEGIN"))))
            self.assertEqual(["BEGIN"], self.server.heard)
            fault.release()
            behind = query("COMMIT") + query("SELECT 2")
            self.assertEqual(b"C", self.read(stream, 1))
        wait_until(lambda: len(self.server.bytes) >= len(behind), BOUND_S, "what came behind")
        self.assertTrue(self.server.bytes.endswith(behind))

    def test_a_message_that_comes_in_pieces_is_one(self):
        stream = self.client()
        with self.proxy.delay(faults.before("COMMIT"), seconds=0) as fault:
            for byte in query("COMMIT"):
                stream.sendall(bytes([byte]))
            self.assertEqual(self.answer("COMMIT"), self.read(stream, len(self.answer("COMMIT"))))
            self.assertEqual(1, fault.fired)

    def test_what_is_no_postgresql_is_cut_and_told(self):
        stream = socket.create_connection((self.proxy.host, self.proxy.port), timeout=BOUND_S)
        self.addCleanup(stream.close)
        stream.sendall(b"\x16\x03\x01" + bytes(20))
        self.assertIn("TLS", self.proxy.wait_for("closed").detail)


class TestTelling(Proxied):
    def test_events_tell_what_happened_in_its_order(self):
        stream = self.client()
        with self.proxy.cut(faults.after("COMMIT")):
            stream.sendall(query("COMMIT"))
            self.proxy.wait_for("closed")
        told = [(event.kind, event.connection, event.detail, event.statement) for event in self.proxy.events]
        self.assertEqual(
            [
                ("opened", 1, "", ""),
                ("fired", 1, "cut after COMMIT", "COMMIT"),
                ("closed", 1, "fault: cut after COMMIT", ""),
            ],
            told,
        )

    def test_counts_tell_what_came_and_0_for_what_did_not(self):
        stream = self.client()
        stream.sendall(query("INSERT INTO t VALUES (1); COMMIT"))
        self.read(stream, 1)
        counts = self.proxy.counts
        self.assertEqual((1, 1, 1, 0), (counts["COMMIT"], counts["INSERT"], counts["connect"], counts["ROLLBACK"]))

    def test_who_ended_a_connection_is_told(self):
        stream = self.client()
        stream.close()
        self.assertEqual("client", self.proxy.wait_for("closed").detail)

    def test_a_wait_in_vain_says_what_was_seen_instead(self):
        stream = self.client()
        stream.sendall(query("BEGIN"))
        self.read(stream, 1)
        fault = self.proxy.cut(faults.after("COMMIT"))
        error = self.assertRaises(TimeoutError, fault.wait, timeout_s=0.01)
        self.assertIn("cut after COMMIT", str(error))
        self.assertIn("1 BEGIN", str(error))
        self.assertIn("'closed'", str(self.assertRaises(TimeoutError, self.proxy.wait_for, "closed", timeout_s=0.01)))
        self.assertRaises(UsageError, self.proxy.wait_for, "close")

    def test_a_fault_that_did_not_strike_fails_its_block(self):
        def forget():
            with self.proxy.cut(faults.after("COMMIT")):
                self.client()

        error = self.assertRaises(AssertionError, forget)
        self.assertIn("cut after COMMIT", str(error))
        self.assertIn("1 connect", str(error))

    def test_the_error_of_a_block_is_not_hidden_by_it(self):
        def fail():
            with self.proxy.cut(faults.after("COMMIT")):
                raise ValueError("mine")

        self.assertRaises(ValueError, fail)

    def test_a_fault_by_chance_need_not_strike(self):
        with self.proxy.cut(faults.after("COMMIT"), probability=0.5, seed=1):
            pass

    def test_a_removed_fault_lets_go_what_it_holds(self):
        stream = self.client()
        fault = self.proxy.hold(faults.before("COMMIT"))
        stream.sendall(query("COMMIT"))
        fault.wait()
        self.assertEqual(1, fault.remove())
        self.assertEqual(self.answer("COMMIT"), self.read(stream, len(self.answer("COMMIT"))))
        self.assertRaises(UsageError, lambda: fault.fired)

    def test_a_delay_may_be_ended_before_its_time(self):
        stream = self.client()
        with self.proxy.delay(faults.before("COMMIT"), seconds=1000) as fault:
            stream.sendall(query("COMMIT"))
            fault.wait()
            self.assertEqual((1, 0), (fault.release(), fault.release()))
            self.assertEqual(self.answer("COMMIT"), self.read(stream, len(self.answer("COMMIT"))))

    def test_clearing_removes_all_faults(self):
        stream = self.client()
        self.proxy.hold(faults.before("COMMIT"))
        self.proxy.freeze_all()
        self.proxy.clear()
        stream.sendall(query("COMMIT"))
        self.assertEqual(self.answer("COMMIT"), self.read(stream, len(self.answer("COMMIT"))))

    def test_a_frozen_proxy_takes_connections_and_passes_nothing(self):
        self.proxy.freeze_all()
        stream = socket.create_connection((self.proxy.host, self.proxy.port), timeout=BOUND_S)
        self.addCleanup(stream.close)
        stream.sendall(startup())
        self.proxy.wait_for("frozen")
        self.assertEqual(0, self.proxy.counts["connect"])
        self.proxy.thaw()
        self.assertEqual(WELCOME, self.read(stream, len(WELCOME)))


class TestTargets(testtools.TestCase):
    def test_every_kind_of_server_has_its_protocol(self):
        self.assertEqual(set(database_kinds()) - {"sqlite"}, set(DIALOGUES))

    def test_a_url_leads_through_the_proxy_with_all_its_parts(self):
        url = make_url("mariadb+pymysql://app:secret@127.0.0.1:3307/shop?charset=utf8mb4")
        with faults.proxy(url) as proxy:
            self.assertEqual("mysql", proxy.kind)
            self.assertEqual(url.set(host=proxy.host, port=proxy.port), proxy.url())
            other = proxy.url("asyncmy", "other", "mysql")
            self.assertEqual(("mysql+asyncmy", "other", "secret"), (other.drivername, other.database, other.password))
            self.assertNotIn("secret", repr(proxy))

    def test_what_would_lead_past_the_proxy_is_refused(self):
        for url in (
            "postgresql://app@/db?host=a:1&host=b:2",
            "mysql://app@localhost/db?unix_socket=/run/mysqld.sock",
        ):
            self.assertRaises(UsageError, faults.proxy(url).__enter__)

    def test_what_it_does_not_understand_is_refused(self):
        self.assertIn("sqlite", str(self.assertRaises(UsageError, faults.proxy, "sqlite:///app.db")))
        self.assertIn("'postgresql'", str(self.assertRaises(UsageError, faults.proxy, ("a", 1), "postgres")))
        self.assertRaises(UsageError, faults.proxy, ("a", 1))
        with faults.proxy(("127.0.0.1", 1), "mariadb") as proxy:
            self.assertIn("through", str(self.assertRaises(UsageError, proxy.url)))
            self.assertRaises(UsageError, proxy.cut, faults.after("COMMIT"), count=1)

    def test_outside_its_block_it_says_so(self):
        proxy = faults.proxy(("127.0.0.1", 1), "mysql")
        self.assertIn("with block", str(self.assertRaises(UsageError, proxy.cut_all)))
        with proxy:
            port = proxy.port
            self.assertFalse(is_free(port))
        self.assertIn("with block", str(self.assertRaises(UsageError, getattr, proxy, "port")))
        wait_until(lambda: is_free(port), BOUND_S, "the end of the listener")


class TestProcess(testtools.TestCase):
    def proxies(self, count):
        made = [faults.proxy(("127.0.0.1", 1), "mysql").__enter__() for _ in range(count)]
        for each in made:
            self.addCleanup(each.close)
        return made

    def test_proxies_of_a_process_share_one_and_do_not_meet(self):
        first, second = self.proxies(2)
        self.assertEqual(first.pid, second.pid)
        self.assertNotEqual(first.port, second.port)
        first.close()
        self.assertEqual([], second.events)

    def test_its_death_is_a_clear_error_and_the_next_proxy_has_a_new_one(self):
        (proxy,) = self.proxies(1)
        fault, pid = proxy.cut(faults.after("COMMIT")), proxy.pid
        waiting = threading.Timer(0, os.kill, (pid, signal.SIGKILL))
        waiting.start()
        error = self.assertRaises(BackendNotAvailable, fault.wait)
        for ask in (lambda: error, lambda: self.assertRaises(BackendNotAvailable, proxy.cut_all)):
            self.assertIn(f"{pid} has ended with status -9", str(ask()))
        (other,) = self.proxies(1)
        self.assertNotEqual(pid, other.pid)
        self.assertEqual([], other.events)

    def test_it_ends_with_its_owner_however_that_ends(self):
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None):
            owner = subprocess.Popen(
                [sys.executable, "-c", _OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            with owner:
                pid = int(owner.stdout.readline())
                self.assertFalse(has_ended(pid))
                if how is not None:
                    owner.send_signal(how)
            wait_until(lambda pid=pid: has_ended(pid), BOUND_S, "the end of the proxies' process")

    def test_a_fork_of_its_owner_neither_uses_it_nor_keeps_it_alive(self):
        owner = subprocess.Popen([sys.executable, "-c", _FORKING_OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(owner.kill)
        with owner:
            pid, said = int(owner.stdout.readline()), owner.stdout.readline().decode()
            self.assertIn("forked", said)
            owner.kill()
            wait_until(lambda: has_ended(pid), BOUND_S, "the end of the proxies' process")


_OWNER = """
import sys
from dbkit.testing import faults
with faults.proxy(("127.0.0.1", 1), "mysql") as proxy:
    print(proxy.pid, flush=True)
    sys.stdin.read()
"""

_FORKING_OWNER = """
import os, sys
from dbkit.exceptions import BackendNotAvailable
from dbkit.testing import faults
with faults.proxy(("127.0.0.1", 1), "mysql") as proxy:
    print(proxy.pid, flush=True)
    if os.fork() == 0:
        try:
            proxy.cut_all()
        except BackendNotAvailable as error:
            print(error, flush=True)
        os.read(0, 1)  # outlives the owner, until the test closes its end
        os._exit(0)
    os.wait()
"""
