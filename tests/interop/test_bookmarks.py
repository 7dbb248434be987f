"""Bookmarks of WS-Eventing: who says which event it got last is told what came after that one."""

import xml.etree.ElementTree as ET

from harness import COMPLETED, wait_until
from pypsrp.wsman import NAMESPACES
from remote import N, S, W, fault, properties
from test_eventing import Eventing, OwnServer

EARLIEST = "http://schemas.dmtf.org/wbem/wsman/1/wsman/bookmark/earliest"
CHANGES = 'SELECT * FROM CIM_InstModification WHERE SourceInstance ISA "CIM_ConcreteJob"'
END = [("CIM_InstModification", COMPLETED)]


class Bookmarks(Eventing):
    """What subscribers with bookmarks do."""

    def live(self, name):
        """A whole life of a job, to its end."""
        job = self.demo(self.ada, name=name)
        self.finish(job)
        job.wait()

    def marked(self, context, most):
        """Fetches so many events at most; these, and the bookmark of the last one."""
        body = ET.Element(f"{N}Pull")
        ET.SubElement(body, f"{N}EnumerationContext").text = context
        ET.SubElement(body, f"{N}MaxTime").text = "PT20S"
        ET.SubElement(body, f"{N}MaxElements").text = str(most)
        answer = self.wsman.invoke(f"{NAMESPACES['wsen']}/Pull", self.uri, body)
        (pulled,) = answer.find(f"{S}Body")
        return list(pulled.find(f"{N}Items")), answer.find(f"{S}Header/{W}Bookmark")

    def numbers(self, events):
        return [int(properties(e)["SequenceNumber"]) for e in events]

    def first_event(self, name):
        """The bookmark of the first event of a job that has ended by now; nobody is subscribed any more."""
        identifier, context = self.subscribe("Pull", marks=True)
        self.live(name)
        events, bookmark = self.marked(context, 1)
        self.assertEqual(len(events), 1)
        self.assertIsNotNone(bookmark)
        self.ask("Unsubscribe", identifier=identifier)
        return self.numbers(events)[0], bookmark

    def assert_goes_on(self, bookmark, number, names):
        """Everything after the event with this number is told, in order: the rest of one job and the lives of others."""
        _, context = self.subscribe("Pull", marks=True, bookmark=bookmark)
        events, _ = self.pull_until_end(context, names[-1])
        found = self.numbers(events)
        self.assertEqual(found, list(range(number + 1, number + 1 + len(found))))
        self.assertEqual(self.told(events, names[0])[-1:], END)
        for name in names[1:]:
            self.assert_life(events, name)


class BookmarkTests(Bookmarks):
    """With the server of the other tests."""

    def test_what_came_after_a_bookmark_is_fetched(self):
        names = [f"{self._testMethodName} {n}" for n in range(3)]
        number, bookmark = self.first_event(names[0])
        for name in names[1:]:
            self.live(name)
        self.assert_goes_on(bookmark, number, names)
        # As often as anybody likes.
        self.assert_goes_on(bookmark, number, names)

    def test_what_is_sent_carries_bookmarks(self):
        for mode in ("Push", "PushWithAck", "Events"):
            with self.subTest(mode):
                names, sink = [f"{self._testMethodName} {mode} {n}" for n in range(2)], self.sink()
                identifier, _ = self.subscribe(mode, sink.url, marks=True)
                self.live(names[0])
                wait_until(lambda: self.told(sink.events(), names[0])[-1:] == END, "the end to be told")
                self.ask("Unsubscribe", identifier=identifier)
                bookmarks = [m.find(f"{S}Header/{W}Bookmark") for m in sink.messages]
                self.assertNotIn(None, bookmarks)
                self.live(names[1])
                again = self.sink()
                identifier, _ = self.subscribe(mode, again.url, marks=True, bookmark=bookmarks[-1])
                wait_until(lambda: self.told(again.events(), names[1])[-1:] == END, "the second end to be told")
                self.assertEqual(self.told(again.events(), names[0]), [])
                self.assert_life(again.events(), names[1])
                self.ask("Unsubscribe", identifier=identifier)

    def test_everything_that_is_still_known(self):
        number, _ = self.first_event(self._testMethodName)
        earliest = ET.Element(f"{W}Bookmark")
        earliest.text = EARLIEST
        _, context = self.subscribe("Pull", bookmark=earliest)
        events, bookmark = self.marked(context, 100)
        self.assertIsNone(bookmark, "nobody asked for them")
        found = self.numbers(events)
        self.assertEqual(found, list(range(found[0], found[0] + len(found))))
        self.assertIn(number, found)

    def test_bookmarks_that_lead_nowhere(self):
        _, bookmark = self.first_event(self._testMethodName)
        self.assertIn("InvalidBookmark", str(fault(self.subscribe, "Pull", query=CHANGES, bookmark=bookmark)))
        olga = self.subscriber("olga")
        self.assertIn("InvalidBookmark", str(fault(self.subscribe, "Pull", wsman=olga, bookmark=bookmark)))
        strange = ET.Element(f"{W}Bookmark")
        strange.text = "991"
        self.assertIn("InvalidBookmark", str(fault(self.subscribe, "Pull", bookmark=strange)))


class BookmarkRestartTests(Bookmarks, OwnServer):
    """What was kept is known to the server that is started after one was killed."""

    def test_a_bookmark_outlives_a_server(self):
        names = [f"{self._testMethodName} {n}" for n in range(3)]
        number, bookmark = self.first_event(names[0])
        self.live(names[1])
        self.kill()
        self.serve()
        self.ada, self.wsman = self.connection("ada"), self.subscriber("ada")
        self.live(names[2])
        self.assert_goes_on(bookmark, number, names)
