"""Messages that @device-management-toolkit/wsman-messages builds are understood: the story of a job in all three namespaces, told
by a library for Intel AMT.

The package comes from npm's registry, unmodified.
"""

import base64
import json
import os
import pathlib
import signal
import subprocess
import unittest
import urllib.request
import xml.etree.ElementTree as ET

import computers
import npm
import remote
from harness import (
    COMPLETED,
    DONE,
    ENDED,
    EXCEPTION,
    HTTP,
    MIB,
    RUNNING,
    STARTED,
    TERMINATE,
    TERMINATED,
    V1,
    V2,
    Case,
    wait_until,
)
from remote import PULL, PUSH, WMI, WQL, E, N, Remote, S, W, life, local, properties, selectors
from test_eventing import Sink, Subscriber

PACKAGE = (
    "@device-management-toolkit/wsman-messages",
    "5.14.1",
    "sha512-a3WI2TGUDhshPdLGQqvqIW+FDVXFzxtp2QoQwrt77odEGe33kyhp+1J6RxZw8SxFUIAjVWG2zVHWCAizwAa10A==",
)
HERE = pathlib.Path(__file__).parent
SERVICE = "Cimwright_DemoService"
TASKS = "MSFT_WvrAdminTasks"


class Messages:
    """One process that builds messages, one user that sends them."""

    @classmethod
    def setUpClass(cls):
        cls.modules = npm.install(*PACKAGE)

    def begin(self, url=HTTP, user="ada", password=None):
        """Starts the process for the namespace of the test."""
        environment = {**os.environ, "NODE_PATH": str(self.modules)}
        self.base = f"{WMI}{self.namespace}/"
        self.node = subprocess.Popen(
            ["node", str(HERE / "messages.js"), self.base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )
        self.addCleanup(self.end)
        self.user = user, url, password
        password = password or os.environ[f"INTEROP_PASSWORD_{user.upper()}"]
        self.url, self.credentials = url, base64.b64encode(f"{user}:{password}".encode()).decode()

    def end(self):
        self.node.stdin.close()
        self.node.stdout.close()
        self.node.wait()

    def ask(self, *call):
        """Builds a message, sends it, and gives what the body of the answer holds."""
        self.node.stdin.write(json.dumps(call) + "\n")
        self.node.stdin.flush()
        message = json.loads(self.node.stdout.readline())
        headers = {"Authorization": f"Basic {self.credentials}", "Content-Type": "application/soap+xml; charset=utf-8"}
        request = urllib.request.Request(f"{self.url}/wsman", message.encode(), headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            root = ET.fromstring(answer.read())
        body = root.find(f"{S}Body")
        return body[0] if len(body) else None

    def invoke(self, name, selector, method, **values):
        """Calls a method; gives the return value and the output parameters."""
        output = properties(self.ask("invoke", name, selector, method, values))
        return int(output.pop("ReturnValue")), output

    def enumerate(self, name):
        """Enumerate and Pull to the end; the items."""
        context, items = self.ask("enumerate", name).findtext(f"{N}EnumerationContext"), []
        while context:
            answer = self.ask("pull", name, context)
            items += list(answer.find(f"{N}Items"))
            context = answer.findtext(f"{N}EnumerationContext")
        return items

    def job(self, epr):
        """Class and selector of a job, out of its endpoint reference."""
        name = epr.find(f".//{W}ResourceURI").text.rsplit("/", 1)[-1]
        return name, {"name": "InstanceID", "value": selectors(epr)["InstanceID"]}

    def get(self, job):
        return properties(self.ask("get", *job))

    def wait(self, job):
        """Waits for the end of a job; the state that it ended in."""
        wait_until(lambda: int(self.get(job)["JobState"]) in ENDED, "the end of the job")
        return int(self.get(job)["JobState"])

    def listen(self, name):
        """Subscribes to the life of the jobs of this class: to events that are fetched, and to events that a sink is sent."""
        query = f'SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA "{name}"'
        sink = Sink()
        self.addCleanup(sink.stop)
        context = self.ask("subscribe", PULL, None, WQL, query).findtext(f"{N}EnumerationContext")
        identifier = self.ask("subscribe", PUSH, sink.url, WQL, query).findtext(f".//{E}Identifier")
        self.addCleanup(self.unsubscribe, identifier)
        return context, sink

    def unsubscribe(self, identifier):
        """What no message of the package can: it has no way to write the header that a subscription is named by."""
        wsman = remote.connect(*self.user)
        wsman.__class__ = Subscriber
        Remote(wsman, self.namespace).eventing("Unsubscribe", identifier=identifier)
        wsman.close()

    def assert_told(self, listening, job, end):
        """The life of the job has been told in both ways."""
        (context, sink), key, events = listening, job[1]["value"], []
        # Every Pull waits until there is something, so there has to be something to come.
        while [state for _, state in life(events, key)][-1:] != [end]:
            answer = self.ask("pull", "*", context)
            context = answer.findtext(f"{N}EnumerationContext")
            events += list(answer.find(f"{N}Items"))
        self.assertIsNone(self.ask("release", context))
        wait_until(lambda: [s for _, s in life(sink.events(), key)][-1:] == [end], "the end to be told to the sink")


class HyperVMessages(Messages, Case):
    """What is the same in both Hyper-V namespaces."""

    namespace = V2
    #: The class of errors.
    error = "Msvm_Error"
    keys = {"name": "CreationClassName", "value": SERVICE}

    def setUp(self):
        super().setUp()
        self.begin()

    def start(self, ending):
        values = {"Name": "by npm", "Steps": 1, "DurationMilliseconds": 0, "Ending": ending}
        value, output = self.invoke(SERVICE, self.keys, "StartJob", **values)
        self.assertEqual(value, STARTED)
        return self.job(output["Job"])

    def test_enumerate_and_pull(self):
        context = self.ask("enumerate", SERVICE).findtext(f"{N}EnumerationContext")
        answer = self.ask("pull", SERVICE, context)
        self.assertEqual([local(i) for i in answer.find(f"{N}Items")], [SERVICE])
        self.assertIsNotNone(answer.find(f"{N}EndOfSequence"))

    def test_the_story_of_a_job(self):
        listening = self.listen("Msvm_ConcreteJob")
        job = self.start("wait")
        reference = {
            "Address": "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
            "ReferenceParameters": {
                "ResourceURI": f"{self.base}{job[0]}",
                "SelectorSet": {"Selector": [{"_": job[1]["value"], "$": {"Name": "InstanceID"}}]},
            },
        }

        def told():
            return self.invoke(SERVICE, self.keys, "FinishJob", Job=reference, Ending="fail")[0] == DONE

        wait_until(told, "the job to wait")
        self.assertEqual(self.wait(job), EXCEPTION)
        value, output = self.invoke(*job, "GetError")
        self.assertEqual(value, 0)
        self.assertIn(f'<INSTANCE CLASSNAME="{self.error}">', output["Error"])
        self.assert_told(listening, job, EXCEPTION)
        self.assertEqual(self.wait(self.start("complete")), COMPLETED)

    def test_a_job_is_cancelled(self):
        job = self.start("wait")
        output = properties(self.ask("requestStateChange", *job, TERMINATE))
        self.assertIn(int(output["ReturnValue"]), (DONE, STARTED))
        self.assertEqual(self.wait(job), TERMINATED)


class V1Messages(HyperVMessages):
    """root/virtualization."""

    namespace = V1
    error = "CIM_Error"


class ReplicationMessages(Messages, unittest.TestCase):
    """root/microsoft/windows/storagereplica, on computers of its own."""

    namespace = computers.NAMESPACE

    def setUp(self):
        self.alpha, self.beta = self.enterContext(computers.computers("alpha", "beta"))
        self.begin(self.alpha.url, "sara", computers.PASSWORD)

    def tasks(self, method, **values):
        return self.invoke(TASKS, None, method, **values)

    def new_group(self, computer, name):
        log = {"LogVolumeName": str(computer.root / f"{name}.log"), "LogSizeInBytes": 2 * MIB}
        volume = [computer.volume(name, MIB)]
        return self.tasks("NewSrGroup", ComputerName=computer.name, Name=name, VolumeName=volume, **log)[0]

    def jobs(self):
        """The jobs that somebody asked for."""
        return {j["InstanceID"]: j for j in map(properties, self.enumerate("MSFT_SrJob")) if j["Owner"] == "sara"}

    def job_of(self, before):
        """The job that a call has left."""
        (key,) = self.jobs().keys() - before.keys()
        return "MSFT_SrJob", {"name": "InstanceID", "value": key}

    def test_the_story_of_a_job(self):
        listening = self.listen("MSFT_SrJob")
        value, output = self.tasks(
            "WvrCreateReplicationGroup", ReplicationGroupName="G", VolumeNames=[self.alpha.volume("v", MIB)],
            LogPath=str(self.alpha.root / "log"),
        )
        self.assertEqual(value, STARTED)
        job = self.job(output["Task"])
        self.assertEqual(self.wait(job), COMPLETED)
        self.assertEqual(self.invoke(*job, "GetError"), (0, {"Error": None}))
        self.assertEqual(list(self.jobs()), [job[1]["value"]])
        self.assert_told(listening, job, COMPLETED)

    def test_the_reason_of_a_failure_is_an_embedded_instance(self):
        value, _ = self.tasks(
            "WvrCreateReplicationGroup", ReplicationGroupName="G", VolumeNames=[str(self.alpha.root / "missing")],
            LogPath=str(self.alpha.root / "log"),
        )
        self.assertNotIn(value, (DONE, STARTED))
        job = self.job_of({})
        self.assertEqual(self.wait(job), EXCEPTION)
        value, output = self.invoke(*job, "GetError")
        self.assertEqual((value, properties(output["Error"])["MessageID"]), (0, "CWREPL1001"))

    def test_a_job_is_cancelled(self):
        for computer, name in [(self.alpha, "A"), (self.beta, "B")]:
            self.assertEqual(self.new_group(computer, name), DONE)
        value, _ = self.tasks(
            "CreatePartnership", SourceRGName="A", DestinationComputerName="beta", DestinationRGName="B",
            PreventReplication="true",
        )
        self.assertEqual(value, DONE)
        self.beta.stop(signal.SIGKILL)
        before = self.jobs()
        self.assertEqual(self.tasks("SyncGroup", Name="A")[0], STARTED)
        job = self.job_of(before)
        # It goes on as long as the copy that it follows is paused.
        self.assertEqual(self.tasks("SuspendGroup", Name="A")[0], DONE)
        self.assertEqual(int(self.get(job)["JobState"]), RUNNING)
        output = properties(self.ask("requestStateChange", *job, TERMINATE))
        self.assertIn(int(output["ReturnValue"]), (DONE, STARTED))
        self.assertEqual(self.wait(job), TERMINATED)
