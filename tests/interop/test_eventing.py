"""Events over WS-Eventing: pypsrp fetches them, or a sink of our own is sent them."""

import datetime
import http.server
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import xml.etree.ElementTree as ET

import remote
from computers import PROGRAM
from harness import COMPLETED, PATIENCE, RUNNING, V2, Case, connect, wait_until
from pypsrp.wsman import NAMESPACES, WSMan
from remote import A, N, S, W, WQL, Remote, fault, local, properties

EVENTING = NAMESPACES["wse"]
E = f"{{{EVENTING}}}"
MODES = {
    "Push": f"{EVENTING}/DeliveryModes/Push",
    **{mode: f"http://schemas.dmtf.org/wbem/wsman/1/wsman/{mode}" for mode in ("PushWithAck", "Events", "Pull")},
}
JOBS = 'SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA "CIM_ConcreteJob"'


#: Of the server that is killed.
CONFIGURATION = """
[providers]
demo = true

[indications]
retry_interval_ms = 200
max_retry_interval_ms = 500
"""


class Sink:
    """Takes events; can go and come back on its port, and refuse to acknowledge."""

    def __init__(self):
        self.messages = []
        self.silent = 0
        self.lock = threading.Lock()
        self.server = None
        self.port = 0
        self.start()

    @property
    def url(self):
        """Where events are to be sent."""
        return f"http://127.0.0.1:{self.port}/events"

    def start(self):
        """Begins to listen."""
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One message."""

            protocol_version = "HTTP/1.1"

            def do_POST(self):
                envelope = ET.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
                answer = sink.take(envelope)
                self.send_response(200 if answer else 202)
                self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
                self.send_header("Content-Length", str(len(answer)))
                # So that nothing outlives the sink when it goes.
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Is gone; connections to it are refused."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def take(self, envelope):
        """Remembers a message; the answer to it."""
        header = envelope.find(f"{S}Header")
        with self.lock:
            if header.find(f"{W}AckRequested") is not None:
                if self.silent:
                    self.silent -= 1
                    return b""
                self.messages.append(envelope)
                return ack(header.findtext(f"{A}MessageID"))
            self.messages.append(envelope)
            return b""

    def events(self):
        """The events of all messages."""
        found = []
        with self.lock:
            messages = list(self.messages)
        for message in messages:
            (top,) = message.find(f"{S}Body")
            found += [event[0] for event in top if len(event)] if local(top) == "Events" else [top]
        return found

    def sent(self):
        """The events of all messages, without what tells of those that are missing."""
        return [event for event in self.events() if local(event) != "DroppedEvents"]

    def actions(self):
        """The actions of all messages."""
        with self.lock:
            return [m.findtext(f"{S}Header/{A}Action") for m in self.messages]


def ack(of):
    """The acknowledgement of a message."""
    envelope = ET.Element(f"{S}Envelope")
    header = ET.SubElement(envelope, f"{S}Header")
    ET.SubElement(header, f"{A}Action").text = "http://schemas.dmtf.org/wbem/wsman/1/wsman/Ack"
    ET.SubElement(header, f"{A}RelatesTo").text = of
    ET.SubElement(envelope, f"{S}Body")
    return ET.tostring(envelope)


class Subscriber(WSMan):
    """pypsrp with the one header more that a subscription is named by."""

    identifier = None

    def _create_header(self, *arguments, **named):
        message_id, header = super()._create_header(*arguments, **named)
        if self.identifier is not None:
            ET.SubElement(header, f"{E}Identifier").text = self.identifier
        return message_id, header


class Eventing(Case):
    """What subscribers do."""

    def setUp(self):
        super().setUp()
        self.wsman = self.subscriber("ada")
        self.uri = Remote(self.wsman, V2).uri("*")

    def subscriber(self, user):
        """A connection for events."""
        wsman = remote.connect(user)
        wsman.__class__ = Subscriber
        self.addCleanup(wsman.close)
        return wsman

    def sink(self):
        """A sink that is gone after the test."""
        sink = Sink()
        self.addCleanup(sink.stop)
        return sink

    def ask(self, name, body=None, wsman=None, identifier=None):
        """One request of WS-Eventing; the body of its answer."""
        wsman = wsman or self.wsman
        wsman.identifier = identifier
        try:
            resource = ET.Element(f"{E}{name}") if body is None else body
            answer = wsman.invoke(f"{EVENTING}/{name}", self.uri, resource)
        finally:
            wsman.identifier = None
        return answer.find(f"{S}Body")

    def subscribe(
        self, mode, url=None, expires="PT10M", query=JOBS, wsman=None, more=(), end_to=None, marks=False, bookmark=None
    ):
        """Subscribes; the identifier and, for events that are fetched, the context."""
        body = ET.Element(f"{E}Subscribe")
        delivery = ET.SubElement(body, f"{E}Delivery", {"Mode": MODES.get(mode, mode)})
        if url:
            notify = ET.SubElement(delivery, f"{E}NotifyTo")
            ET.SubElement(notify, f"{A}Address").text = url
            parameters = ET.SubElement(notify, f"{A}ReferenceParameters")
            ET.SubElement(parameters, "{urn:test}Cookie").text = self._testMethodName
        for name, text, *total in more:
            attributes = {"Total": str(total[0])} if total else {}
            ET.SubElement(delivery, f"{W}{name}", attributes).text = text
        if end_to:
            told = ET.SubElement(body, f"{E}EndTo")
            ET.SubElement(told, f"{A}Address").text = end_to
            ET.SubElement(ET.SubElement(told, f"{A}ReferenceParameters"), "{urn:test}Cookie").text = "the end"
        if expires:
            ET.SubElement(body, f"{E}Expires").text = expires
        ET.SubElement(body, f"{W}Filter", {"Dialect": WQL}).text = query
        if bookmark is not None:
            body.append(bookmark)
        if marks:
            ET.SubElement(body, f"{W}SendBookmarks")
        (answer,) = self.ask("Subscribe", body, wsman)
        self.granted = answer.findtext(f"{E}Expires")
        self.assertTrue(self.granted)
        identifier = answer.findtext(f".//{E}Identifier")
        self.addCleanup(self.forget, identifier)
        return identifier, answer.findtext(f"{N}EnumerationContext")

    def forget(self, identifier):
        """Unsubscribes, if that was not done."""
        try:
            self.ask("Unsubscribe", identifier=identifier)
        except remote.WSManFaultError:
            pass

    def pull(self, context, most=10, wsman=None, seconds=2):
        """Fetches events; these, and the next context."""
        body = ET.Element(f"{N}Pull")
        ET.SubElement(body, f"{N}EnumerationContext").text = context
        ET.SubElement(body, f"{N}MaxTime").text = f"PT{seconds}S"
        ET.SubElement(body, f"{N}MaxElements").text = str(most)
        answer = (wsman or self.wsman).pull(self.uri, resource=body)[0]
        self.assertIsNone(answer.find(f"{N}EndOfSequence"))
        return list(answer.find(f"{N}Items")), answer.findtext(f"{N}EnumerationContext")

    def pull_until_end(self, context, name):
        """Fetches events until one tells the end of a job."""
        found = []

        def ended():
            nonlocal context
            try:
                events, context = self.pull(context)
            except remote.WSManFaultError as raised:
                self.assertIn("TimedOut", str(raised))
                return False
            found.extend(events)
            return self.told(found, name)[-1:] == [("CIM_InstModification", COMPLETED)]

        wait_until(ended, f"the end of {name} to be told")
        return found, context

    def told(self, events, name):
        """The classes of events about a job, and the states that they tell."""
        found = []
        for event in events:
            job = properties(properties(event)["SourceInstance"])
            if job["Name"] == name:
                found.append((local(event), int(job["JobState"])))
        return found

    def live(self, name):
        """A whole life of a job."""
        self.finish(self.demo(self.ada, name=name))

    def assert_life(self, events, name):
        told = self.told(events, name)
        self.assertEqual(told[0], ("CIM_InstCreation", RUNNING))
        self.assertEqual(told[-1], ("CIM_InstModification", COMPLETED))
        self.assertEqual({kind for kind, _ in told[1:]}, {"CIM_InstModification"})

    def assert_in_order(self, events):
        numbers = [int(properties(e)["SequenceNumber"]) for e in events]
        self.assertEqual(numbers, list(range(len(numbers))))


class EventingTests(Eventing):
    """The life of a job, fetched and sent, also after the other side was away."""

    def test_events_are_fetched_in_order(self):
        name = self._testMethodName
        identifier, context = self.subscribe("Pull")
        self.live(name)
        events, after = self.pull_until_end(context, name)
        self.assert_life(events, name)
        self.assert_in_order(events)
        self.live(f"{name} again")
        more, _ = self.pull_until_end(after, f"{name} again")
        self.assert_in_order(events + more)
        self.ask("Unsubscribe", identifier=identifier)
        self.assertIn("InvalidEnumerationContext", str(fault(self.pull, after)))

    def test_an_answer_that_was_lost_is_given_again(self):
        _, context = self.subscribe("Pull")
        self.live(self._testMethodName)
        first, _ = self.pull(context, 1, seconds=20)
        second, after = self.pull(context, 1, seconds=20)
        self.assertEqual([ET.tostring(e) for e in first], [ET.tostring(e) for e in second])
        third, _ = self.pull(after, 1, seconds=20)
        self.assert_in_order(first + third)

    def test_who_comes_later_has_missed_nothing(self):
        names = [f"{self._testMethodName} {n}" for n in range(3)]
        _, context = self.subscribe("Pull")
        self.wsman.close()
        for name in names:
            self.live(name)
        self.wsman = self.subscriber("ada")
        events, _ = self.pull_until_end(context, names[-1])
        for name in names:
            self.assert_life(events, name)
        self.assert_in_order(events)

    def test_events_are_sent_in_order(self):
        for mode in ("Push", "PushWithAck", "Events"):
            with self.subTest(mode):
                name, sink = f"{self._testMethodName} {mode}", self.sink()
                identifier, context = self.subscribe(mode, sink.url)
                self.assertIsNone(context)
                self.live(name)
                end = [("CIM_InstModification", COMPLETED)]
                wait_until(lambda: self.told(sink.events(), name)[-1:] == end, f"the end of {name} to be told")
                self.assert_life(sink.events(), name)
                self.assert_in_order(sink.events())
                header = sink.messages[0].find(f"{S}Header")
                self.assertEqual(header.findtext(f"{A}To"), sink.url)
                self.assertEqual(header.findtext("{urn:test}Cookie"), self._testMethodName)
                last = {a.rsplit("/", 1)[-1] for a in sink.actions()}
                expected = {"PushWithAck": {"Event"}, "Events": {"Events"}}
                self.assertEqual(last, expected.get(mode, {"CIM_InstCreation", "CIM_InstModification"}))
                self.ask("Unsubscribe", identifier=identifier)

    def test_a_sink_that_comes_back_has_missed_nothing(self):
        for mode in ("PushWithAck", "Events"):
            with self.subTest(mode):
                names = [f"{self._testMethodName} {mode} {n}" for n in range(3)]
                sink = self.sink()
                identifier, _ = self.subscribe(mode, sink.url)
                sink.stop()
                for name in names:
                    self.live(name)
                sink.start()
                end = [("CIM_InstModification", COMPLETED)]
                wait_until(lambda: self.told(sink.events(), names[-1])[-1:] == end, "the last end to be told")
                for name in names:
                    self.assert_life(sink.events(), name)
                self.assert_in_order(sink.events())
                self.ask("Unsubscribe", identifier=identifier)

    def test_what_is_not_acknowledged_is_sent_again(self):
        name, sink = self._testMethodName, self.sink()
        sink.silent = 1
        self.subscribe("PushWithAck", sink.url)
        self.live(name)
        end = [("CIM_InstModification", COMPLETED)]
        wait_until(lambda: self.told(sink.events(), name)[-1:] == end, "the end to be told")
        self.assertEqual(sink.silent, 0)
        self.assert_in_order(sink.events())

    def test_a_source_that_has_nothing_to_tell_says_that_it_is_there(self):
        sink = self.sink()
        query = 'SELECT * FROM CIM_InstDeletion WHERE SourceInstance ISA "Msvm_StorageJob" AND SourceInstance.Name = "x"'
        self.subscribe("Push", sink.url, query=query, more=[("Heartbeats", "PT1S")])
        beat = "http://schemas.dmtf.org/wbem/wsman/1/wsman/Heartbeat"
        wait_until(lambda: sink.actions()[:2] == [beat, beat], "two heartbeats")

    def test_subscriptions_end(self):
        identifier, context = self.subscribe("Pull", expires="PT20S")
        (status,) = self.ask("GetStatus", identifier=identifier)
        self.assertRegex(status.findtext(f"{E}Expires"), r"^PT(1\d|20)S$")
        renew = ET.Element(f"{E}Renew")
        ET.SubElement(renew, f"{E}Expires").text = "PT1S"
        (renewed,) = self.ask("Renew", renew, identifier=identifier)
        self.assertEqual(renewed.findtext(f"{E}Expires"), "PT1S")

        def ended():
            try:
                self.ask("GetStatus", identifier=identifier)
            except remote.WSManFaultError as raised:
                self.assertIn("no such subscription", str(raised))
                return True
            return False

        wait_until(ended, "the subscription to end")
        self.assertIn("InvalidEnumerationContext", str(fault(self.pull, context)))
        self.assertIn("UnableToRenew", str(fault(self.ask, "Renew", renew, identifier=identifier)))

    def test_a_subscription_ends_at_a_point_in_time(self):
        at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=90)
        for text in (at.strftime("%Y-%m-%dT%H:%M:%SZ"), (at + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S+01:00")):
            identifier, _ = self.subscribe("Pull", expires=text)
            self.assertEqual(self.granted, text)
            (status,) = self.ask("GetStatus", identifier=identifier)
            self.assertRegex(status.findtext(f"{E}Expires"), r"^PT1M\d*S?$|^PT\d\dS$")
        past = (at - datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertIn("InvalidExpirationTime", str(fault(self.subscribe, "Pull", expires=past)))
        renew = ET.Element(f"{E}Renew")
        ET.SubElement(renew, f"{E}Expires").text = text
        (renewed,) = self.ask("Renew", renew, identifier=identifier)
        self.assertEqual(renewed.findtext(f"{E}Expires"), text)

    def ended(self, told, status):
        """Waits until the end of a subscription is told; who it is of."""
        wait_until(lambda: told.messages, "the end to be told")
        (message,) = told.messages
        header, (body,) = message.find(f"{S}Header"), message.find(f"{S}Body")
        self.assertEqual(header.findtext(f"{A}Action"), f"{EVENTING}/SubscriptionEnd")
        self.assertEqual(header.findtext("{urn:test}Cookie"), "the end")
        self.assertEqual(body.findtext(f"{E}Status"), f"{EVENTING}/{status}")
        self.assertTrue(body.findtext(f"{E}Reason"))
        return body.findtext(f".//{E}Identifier")

    def test_a_subscription_whose_sink_stays_away_ends_as_it_was_told(self):
        sink, told = self.sink(), self.sink()
        retry = [("ConnectionRetry", "PT1S", 1)]
        identifier, _ = self.subscribe("PushWithAck", sink.url, more=retry, end_to=told.url)
        sink.stop()
        self.live(self._testMethodName)
        self.assertEqual(self.ended(told, "DeliveryFailure"), identifier)
        self.assertIn("no such subscription", str(fault(self.ask, "GetStatus", identifier=identifier)))

    def test_a_subscription_that_was_taken_away_is_told_to_have_ended(self):
        sink, told = self.sink(), self.sink()
        identifier, _ = self.subscribe("Push", sink.url, end_to=told.url)
        name = identifier.removeprefix("uuid:").replace("-", "")
        interop = self.connection("ada", "root/interop")
        (path,) = [p for p in interop.EnumerateInstanceNames("CIM_IndicationSubscription") if name in p["Handler"]["Name"]]
        interop.DeleteInstance(path)
        # Looked for now and then, and before another one is made.
        self.subscribe("Pull")
        self.assertEqual(self.ended(told, "SourceCanceling"), identifier)
        self.assertIn("AccessDenied", str(fault(self.subscribe, "Pull", end_to="http://192.0.2.7/end")))

    def test_who_fetches_hears_that_the_source_is_there(self):
        query = 'SELECT * FROM CIM_InstDeletion WHERE SourceInstance ISA "Msvm_StorageJob" AND SourceInstance.Name = "x"'
        _, context = self.subscribe("Pull", query=query, more=[("Heartbeats", "PT1S")])
        for _ in range(2):
            (beat,), context = self.pull(context, seconds=30)
            self.assertEqual(beat.get("Action"), "http://schemas.dmtf.org/wbem/wsman/1/wsman/Heartbeat")

    def test_subscriptions_belong_to_who_made_them(self):
        olga, otto = self.subscriber("olga"), self.subscriber("otto")
        identifier, context = self.subscribe("Pull", wsman=olga)
        self.assertIn("no such subscription", str(fault(self.ask, "Unsubscribe", wsman=otto, identifier=identifier)))
        self.assertIn("InvalidEnumerationContext", str(fault(self.pull, context, wsman=otto)))
        self.assertIn("AccessDenied", str(fault(self.subscribe, "Pull", wsman=self.subscriber("rita"))))
        # They are shown where those of the other protocol are.
        interop = self.connection("ada", "root/interop")
        shown = interop.EnumerateInstances("CIM_ListenerDestinationWSManagement")
        own = [d for d in shown if identifier.removeprefix("uuid:").replace("-", "") in d["Name"]]
        self.assertEqual([d["DeliveryMode"] for d in own], [5])
        self.ask("Unsubscribe", wsman=olga, identifier=identifier)

    def test_what_is_not_served_is_a_fault(self):
        for text, call in [
            ("AccessDenied", lambda: self.subscribe("Push", "http://192.0.2.7/events")),
            ("EventDeliverToUnusable", lambda: self.subscribe("Push", "ftp://127.0.0.1/events")),
            ("InvalidMessage", lambda: self.subscribe("Push")),
            ("DeliveryModeRequestedUnavailable", lambda: self.subscribe("urn:pigeon")),
            ("FilteringRequestedUnavailable", lambda: self.subscribe("Pull", query="SELEC")),
            ("FilteringRequestedUnavailable", lambda: self.subscribe("Pull", query="SELECT * FROM Msvm_StorageJob")),
            ("InvalidExpirationTime", lambda: self.subscribe("Pull", expires="PT0S")),
            ("UnsupportedFeature", lambda: self.subscribe("Pull", more=[("Heartbeats", "PT0.5S")])),
            ("UnsupportedFeature", lambda: self.subscribe("Pull", more=[("ConnectionRetry", "PT9S", 3)])),
            ("EventDeliverToUnusable", lambda: self.subscribe("Pull", end_to="ftp://127.0.0.1/end")),
        ]:
            with self.subTest(text):
                self.assertIn(text, str(fault(call)))


class OwnServer(Eventing):
    """With a server of its own."""

    configuration = CONFIGURATION

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=os.environ["INTEROP_SCRATCH"]))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        (self.place / "root").mkdir()
        (self.place / "config.toml").write_text(self.configuration)
        command = [PROGRAM, "user", "add", "ada", "--role", "administrator", "--password-stdin"]
        said = os.environ["INTEROP_PASSWORD_ADA"] + "\n"
        subprocess.run([*command, "--state", str(self.place / "state")], input=said, text=True, check=True)
        self.process = None
        self.addCleanup(self.kill)
        self.serve()
        super().setUp()

    def serve(self):
        """Starts the server, on any port."""
        ports = self.place / "ports"
        ports.unlink(missing_ok=True)
        command = [PROGRAM, "serve", "--config", str(self.place / "config.toml"), "--state", str(self.place / "state")]
        command += ["--http", "127.0.0.1:0", "--https", "none", "--storage-root", str(self.place / "root")]
        with open(self.place / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port-file", str(ports)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def listens():
            assert self.process.poll() is None, (self.place / "log").read_text()[-4000:]
            lines = ports.read_text() if ports.exists() else ""
            return dict(line.split("=", 1) for line in lines.splitlines()) if "unix=" in lines else None

        self.url = f"http://{wait_until(listens, 'the server to listen')['http']}"

    def kill(self):
        """Ends the server without a warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    def connection(self, user, namespace=None, url=None, **options):
        connection = connect(namespace or self.namespace, user, url or self.url, **options)
        self.addCleanup(connection.close)
        return connection

    def subscriber(self, user):
        host, port = self.url.removeprefix("http://").split(":")
        password = os.environ[f"INTEROP_PASSWORD_{user.upper()}"].encode()
        wsman = Subscriber(
            host, port=int(port), ssl=False, auth="basic", username=user.encode(), password=password,
            encryption="never", no_proxy=True,
        )
        self.addCleanup(wsman.close)
        return wsman

    def forget(self, identifier):
        """The whole server goes."""


class EventingRestartTests(OwnServer):
    """A server that is killed knows its subscribers when it is started again."""

    def test_a_killed_server_tells_what_it_had_to_tell(self):
        sink, names = self.sink(), ["before", "after"]
        _, context = self.subscribe("Pull")
        self.subscribe("PushWithAck", sink.url)
        sink.stop()
        self.live(names[0])
        wait_until(lambda: self.told(self.pull(context, 100, seconds=20)[0], names[0])[-1][1] == COMPLETED, "the end")
        self.kill()
        self.serve()
        self.ada, self.wsman = self.connection("ada"), self.subscriber("ada")
        sink.start()
        self.live(names[1])
        fetched, _ = self.pull_until_end(context, names[1])
        end = [("CIM_InstModification", COMPLETED)]
        wait_until(lambda: self.told(sink.events(), names[1])[-1:] == end, "the last end to be told")
        for events in (fetched, sink.events()):
            for name in names:
                self.assert_life(events, name)
            self.assert_in_order(events)
        header = sink.messages[-1].find(f"{S}Header")
        self.assertEqual(header.findtext("{urn:test}Cookie"), self._testMethodName)


class DroppedEventsTests(OwnServer):
    """Where few events may wait, those that had to make room are told to be missing."""

    configuration = CONFIGURATION + "queue_limit = 2\n"

    def test_events_that_are_missing_are_told(self):
        sink, name = self.sink(), self._testMethodName
        _, context = self.subscribe("Pull")
        for mode in ("PushWithAck", "Events"):
            self.subscribe(mode, sink.url)
        sink.stop()
        for n in range(3):
            self.live(f"{name} {n}")
        last, end = f"{name} 2", [("CIM_InstModification", COMPLETED)]
        # Everything has been queued once the last event waits.
        wait_until(lambda: self.told(self.events_of(self.pull(context)[0]), last)[-1:] == end, "the end to wait")
        (dropped, *events), _ = self.pull(context)
        self.assert_dropped(dropped, events)
        sink.start()
        wait_until(lambda: len([m for m in sink.messages if self.counted(m) is not None]) >= 2, "dropped events to be told")
        wait_until(lambda: len(self.told(sink.sent(), last)) >= 4, "the rest of the events")
        for message in sink.messages:
            if (count := self.counted(message)) is not None:
                self.assertEqual(count.text, dropped.text)
        numbers = sorted(int(properties(e)["SequenceNumber"]) for e in sink.sent())
        self.assertEqual(numbers[0], int(dropped.text))

    def events_of(self, items):
        """Without what tells of those that are missing."""
        return [item for item in items if local(item) != "DroppedEvents"]

    def counted(self, message):
        """The element that says how many are missing, if it is there."""
        return message.find(f"{S}Body/{W}DroppedEvents")

    def assert_dropped(self, dropped, events):
        self.assertEqual(local(dropped), "DroppedEvents")
        self.assertEqual(dropped.get("Action"), "http://schemas.dmtf.org/wbem/wsman/1/wsman/DroppedEvents")
        self.assertEqual(int(dropped.text), int(properties(events[0])["SequenceNumber"]))
        self.assertGreater(int(dropped.text), 0)
