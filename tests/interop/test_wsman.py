"""The story of a job over WS-Management, told by pypsrp in all three namespaces."""

import signal
import unittest
import xml.etree.ElementTree as ET

import computers
import remote
from harness import (
    COMPLETED,
    DONE,
    EXCEPTION,
    KILLED,
    MIB,
    RUNNING,
    STARTED,
    TERMINATE,
    TERMINATED,
    V1,
    V2,
    Case,
    random_image,
    wait_until,
)
from remote import Remote, RemoteJob, fault, life, local, properties
from test_eventing import Sink, Subscriber

TASKS = "MSFT_WvrAdminTasks"
SERVICE = "Cimwright_DemoService"


class Listening:
    """A test that hears of jobs in both ways: it fetches events, and a sink of its own is sent them."""

    def connect(self, *where):
        """pypsrp, as `remote.connect` has it, that can name its subscriptions."""
        self.wsman = remote.connect(*where)
        self.wsman.__class__ = Subscriber
        self.addCleanup(self.wsman.close)
        self.remote = Remote(self.wsman, self.namespace, self.family)

    def listen(self, name):
        """Subscribes twice to the life of the jobs of this class."""
        query = f'SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA "{name}"'
        sink = Sink()
        self.addCleanup(sink.stop)
        fetched, sent = self.remote.subscribe(query), self.remote.subscribe(query, sink.url)
        self.addCleanup(fetched.end)
        self.addCleanup(sent.end)
        return fetched, sink

    def assert_told(self, listening, job, end):
        """The whole life of the job has been told, once in each way."""
        fetched, sink = listening
        key, events = job.keys["InstanceID"], []

        def all_told():
            events.extend(fetched.fetch())
            # What has failed already when it is made has one event only.
            return all(life(told, key)[-1:] and life(told, key)[-1][1] == end for told in (events, sink.events()))

        wait_until(all_told, f"the end of {key} to be told in both ways")
        for told in (events, sink.events()):
            self.assertEqual(life(told, key)[0][0], "CIM_InstCreation")


class WsmanStory(Listening, Case):
    """What is the same in both Hyper-V namespaces."""

    family = "wmi"
    #: Whether the class of jobs marks DeleteOnCompletion as writable.
    writable = False

    def setUp(self):
        super().setUp()
        self.connect()

    def service_keys(self, name=SERVICE):
        items = self.remote.enumerate(name, mode="EnumerateEPR")
        self.assertEqual(len(items), 1, name)
        return remote.selectors(items[0])

    def demo_job(self, ending="wait", **more):
        parameters = {"Name": "over SOAP", "Steps": "1", "DurationMilliseconds": "0", "Ending": ending, "Bytes": "1000"}
        return self.remote.start(SERVICE, self.service_keys(), "StartJob", **{**parameters, **more})

    def finish_job(self, job, ending="complete"):
        keys = self.service_keys()

        def told():
            value, _ = self.remote.invoke(SERVICE, keys, "FinishJob", Job=job.epr, Ending=ending)
            return value == DONE

        wait_until(told, f"{job.keys} to wait for its ending")

    def test_a_job_that_ends_well(self):
        job = self.demo_job()
        self.assertIsNone(job.error())
        self.finish_job(job)
        ended = job.wait()
        self.assertEqual(int(ended["JobState"]), COMPLETED)
        self.assertEqual(ended["OperationalStatus"][:2], ["2", "17"])
        self.assertEqual(ended["ErrorCode"], "0")
        self.assertIsNone(job.error())

    def test_the_reason_of_a_failure(self):
        source, target = self.directory / "missing.vhd", self.directory / "b.vhdx"
        job = self.demo_job()
        self.finish_job(job, "fail")
        ended = job.wait()
        self.assertEqual(int(ended["JobState"]), EXCEPTION)
        error = job.error()
        self.assertTrue(error["Message"])
        self.assertTrue(error["MessageID"].startswith("CW"))
        # The same reason over the other protocol.
        other = [j for j in self.ada.EnumerateInstances(job.name) if j["InstanceID"] == job.keys["InstanceID"]]
        said = self.ada.InvokeMethod("GetError", other[0].path)[1]["Error"]
        self.assertIn(error["MessageID"], said)
        self.assertFalse(source.exists() or target.exists())

    def test_a_job_is_named_by_its_base_class(self):
        job = self.demo_job()
        for name in ("CIM_ConcreteJob", "CIM_Job"):
            with self.subTest(name):
                self.assertEqual(self.remote.get(name, job.keys)["InstanceID"], job.keys["InstanceID"])
        as_base = RemoteJob(self.remote, job.epr)
        as_base.name = "CIM_ConcreteJob"
        self.assertIsNone(as_base.error())
        value, _ = as_base.invoke("RequestStateChange", RequestedState=str(TERMINATE))
        self.assertIn(value, (DONE, STARTED))
        self.assertEqual(int(job.wait()["JobState"]), TERMINATED)
        self.assertTrue(as_base.error()["MessageID"])

    def test_jobs_are_filtered_by_xpath(self):
        jobs = [self.demo_job("complete") for _ in range(2)]
        for job in jobs:
            job.wait()
        key = jobs[0].keys["InstanceID"]
        for text, expected in [
            (f"InstanceID = '{key}'", 1),
            (f"/{jobs[0].name}[InstanceID = '{key}' and JobState = {COMPLETED}]", 1),
            (f"InstanceID = '{key}' and OperationalStatus[2] = 17", 1),
            (f"InstanceID = '{key}' and JobState != {COMPLETED}", 0),
            (f"InstanceID = '{key}' or InstanceID = \"{jobs[1].keys['InstanceID']}\"", 2),
        ]:
            with self.subTest(text):
                found = self.remote.enumerate(jobs[0].name, query=text, dialect=remote.XPATH, most=100)
                self.assertEqual(len(found), expected)

    def test_a_job_that_is_cancelled(self):
        job = self.demo_job()
        value, _ = job.invoke("RequestStateChange", RequestedState=str(TERMINATE))
        self.assertIn(value, (DONE, STARTED))
        self.assertEqual(int(job.wait()["JobState"]), TERMINATED)

    def test_the_life_of_a_job_is_told(self):
        name = self.demo_job("complete").name
        listening = self.listen(name)
        job = self.demo_job()
        self.finish_job(job)
        self.assert_told(listening, job, COMPLETED)
        cancelled = self.demo_job()
        cancelled.invoke("RequestStateChange", RequestedState=str(TERMINATE))
        self.assert_told(listening, cancelled, TERMINATED)

    def test_enumerations_give_the_same_in_every_form(self):
        jobs = [self.demo_job("complete") for _ in range(5)]
        for job in jobs:
            job.wait()
        wanted = {job.keys["InstanceID"] for job in jobs}
        name = jobs[0].name

        def ids(items):
            return {properties(i)["InstanceID"] for i in items} & wanted

        self.assertEqual(ids(self.remote.enumerate(name)), wanted)
        self.assertEqual(ids(self.remote.enumerate(name, most=3)), wanted)
        self.assertEqual(ids(self.remote.enumerate(name, optimize=True, most=32000)), wanted)
        eprs = self.remote.enumerate(name, mode="EnumerateEPR", most=100)
        self.assertEqual({remote.selectors(e)["InstanceID"] for e in eprs} & wanted, wanted)
        both = self.remote.enumerate(name, mode="EnumerateObjectAndEPR", most=100)
        self.assertTrue(all(local(i) == "Item" and len(i) == 2 for i in both))
        one = sorted(wanted)[0]
        query = f"SELECT InstanceID, JobState FROM {name} WHERE InstanceID = '{one}'"
        (item,) = self.remote.enumerate(query=query)
        self.assertEqual(local(item), "XmlFragment")
        self.assertEqual(properties(item), {"InstanceID": one, "JobState": str(COMPLETED)})

    def test_put_changes_what_is_different(self):
        job = self.demo_job()
        self.assertEqual(job.get()["DeleteOnCompletion"], "true")
        # What cannot be changed and is not, does no harm, nor does what has moved on by itself in the meantime.
        shown = {name: value for name, value in job.get().items() if isinstance(value, str)}
        changed = {**shown, "DeleteOnCompletion": "false"}
        if self.writable:
            after = self.remote.put(job.name, job.keys, **changed)
            self.assertEqual(after["DeleteOnCompletion"], "false")
        else:
            self.assertIn("not writable", str(fault(self.remote.put, job.name, job.keys, **changed)))
            self.assertEqual(self.remote.put(job.name, job.keys, **shown)["DeleteOnCompletion"], "true")
        refused = fault(self.remote.put, job.name, job.keys, InstanceID="another")
        self.assertIn("InvalidRepresentation", str(refused))
        self.finish_job(job)

    def test_what_is_wrong_is_a_fault(self):
        missing = {"InstanceID": "00000000-0000-0000-0000-000000000000"}
        job = self.demo_job("complete")
        for text, call in [
            ("DestinationUnreachable", lambda: self.remote.get(job.name, missing)),
            ("DestinationUnreachable", lambda: self.remote.get("Msvm_None", missing)),
            ("InvalidSelectors", lambda: self.remote.get(job.name, {"Colour": "red"})),
            ("InvalidSelectors", lambda: self.remote.get(job.name, None)),
            ("ActionNotSupported", lambda: job.invoke("GetEror")),
            ("InvalidParameter", lambda: job.invoke("RequestStateChange", RequestedState="soon")),
            ("CannotProcessFilter", lambda: self.remote.enumerate(query="SELEC * FROM X")),
        ]:
            with self.subTest(text):
                self.assertIn(text, str(fault(call)))

    def test_a_reader_may_look_and_no_more(self):
        job = self.demo_job()
        reader = remote.connect("rita")
        self.addCleanup(reader.close)
        as_reader = Remote(reader, self.namespace, self.family)
        self.assertIn("JobState", as_reader.get(job.name, job.keys))
        refused = fault(as_reader.invoke, job.name, job.keys, "RequestStateChange", RequestedState=str(TERMINATE))
        self.assertIn("AccessDenied", str(refused))
        self.finish_job(job)


class V2Story(WsmanStory):
    """root/virtualization/v2."""

    namespace = V2

    def test_an_image_is_converted_with_an_embedded_instance(self):
        source = random_image(self.directory / "a.raw", 8 * MIB)
        target = self.directory / "b.vhdx"
        uri = self.remote.uri("Msvm_VirtualHardDiskSettingData")
        setting = ET.Element("x")
        for name, value in [("Path", str(target)), ("Type", "3"), ("Format", "3"), ("BlockSize", "0")]:
            ET.SubElement(setting, f"{{{uri}}}{name}").text = value
        # Some keys are enough where there is one instance only.
        name = "Msvm_ImageManagementService"
        job = self.remote.start(
            name, {"CreationClassName": name}, "ConvertVirtualHardDisk", SourcePath=str(source),
            VirtualDiskSettingData=setting,
        )
        ended = job.wait()
        self.assertEqual(int(ended["JobState"]), COMPLETED, ended)
        self.assertTrue(target.exists())


class V2StoryOfCmdlets(WsmanStory):
    """root/virtualization/v2, with the DMTF's resource URIs as Windows' CIM cmdlets use them."""

    namespace = V2
    family = "dmtf"


class V1Story(WsmanStory):
    """root/virtualization."""

    namespace = V1
    writable = True


class V1StoryOfCmdlets(V1Story):
    """The same with the DMTF's resource URIs."""

    family = "dmtf"


del WsmanStory


class ReplicationStory(Listening, unittest.TestCase):
    """root/microsoft/windows/storagereplica, where GetError gives an embedded instance. On computers of its own."""

    namespace = computers.NAMESPACE
    family = "wmi"

    def setUp(self):
        self.alpha, self.beta = self.enterContext(computers.computers("alpha", "beta"))
        self.connect("sara", self.alpha.url, computers.PASSWORD)

    def tasks(self, method, **parameters):
        """Calls a method of replication; gives the return value and the output parameters."""
        return self.remote.invoke(TASKS, None, method, **parameters)

    def new_group(self, name, computer, volume):
        """Makes a group of a volume; the method answers when it is made."""
        log = {"LogVolumeName": str(computer.root / f"{name}.log"), "LogSizeInBytes": str(2 * MIB)}
        value, _ = self.tasks("NewSrGroup", ComputerName=computer.name, Name=name, VolumeName=[volume], **log)
        self.assertEqual(value, DONE)

    def jobs(self):
        """The jobs that sara asked for, by their keys."""
        items = self.remote.enumerate("MSFT_SrJob", mode="EnumerateObjectAndEPR", most=100)
        shown = [(properties(item[0]), item[1]) for item in items]
        return {job["InstanceID"]: epr for job, epr in shown if job["Owner"] == "sara"}

    def job_of(self, before):
        """The job that a call has left."""
        new = {key: epr for key, epr in self.jobs().items() if key not in before}
        self.assertEqual(len(new), 1)
        return RemoteJob(self.remote, *new.values())

    def test_a_job_that_ends_well(self):
        listening = self.listen("MSFT_SrJob")
        job = self.remote.start(
            TASKS, None, "WvrCreateReplicationGroup", ReplicationGroupName="G",
            VolumeNames=[self.alpha.volume("v", MIB)], LogPath=str(self.alpha.root / "log"),
        )
        self.assertEqual(job.name, "MSFT_SrJob")
        ended = job.wait()
        self.assertEqual(int(ended["JobState"]), COMPLETED, ended)
        self.assertEqual(ended["OperationalStatus"], ["2", "17"])
        self.assertIsNone(job.error())
        self.assertIn(job.keys["InstanceID"], self.jobs())
        query = f"SELECT * FROM MSFT_SrJob WHERE InstanceID = '{job.keys['InstanceID']}'"
        (found,) = self.remote.enumerate(query=query)
        self.assertEqual(properties(found)["JobState"], str(COMPLETED))
        (group,) = self.remote.enumerate("MSFT_WvrReplicationGroup")
        self.assertEqual(properties(group)["Name"], "G")
        self.assert_told(listening, job, COMPLETED)

    def test_the_reason_of_a_failure_is_an_embedded_instance(self):
        listening = self.listen("MSFT_SrJob")
        value, _ = self.tasks(
            "WvrCreateReplicationGroup", ReplicationGroupName="soap",
            VolumeNames=[str(self.alpha.root / "missing")], LogPath=str(self.alpha.root / "log"),
        )
        self.assertNotIn(value, (DONE, STARTED))
        # The refused call has left a job with the reason.
        job = self.job_of(())
        self.assertEqual(int(job.get()["JobState"]), EXCEPTION)
        value, output = job.invoke("GetError")
        self.assertEqual(value, 0)
        error = output["Error"]
        self.assertTrue(error.get(f"{remote.XSI}type").endswith(":CIM_Error_Type"))
        self.assertEqual(properties(error)["MessageID"], "CWREPL1001")
        self.assert_told(listening, job, EXCEPTION)

    def test_a_job_that_is_cancelled(self):
        self.new_group("A", self.alpha, self.alpha.volume("v", MIB))
        self.new_group("B", self.beta, self.beta.volume("v", MIB))
        value, _ = self.tasks(
            "CreatePartnership", SourceRGName="A", DestinationComputerName="beta", DestinationRGName="B",
            PreventReplication="true",
        )
        self.assertEqual(value, DONE)
        self.beta.stop(signal.SIGKILL)
        listening = self.listen("MSFT_SrJob")
        for cancel, parameters, end in [
            ("RequestStateChange", {"RequestedState": str(TERMINATE)}, TERMINATED),
            ("KillJob", {"DeleteOnKill": "false"}, KILLED),
        ]:
            with self.subTest(cancel):
                # A job that goes on for a while: it follows a copy that does not begin, because it is paused.
                before = self.jobs()
                value, _ = self.tasks("SyncGroup", Name="A")
                self.assertEqual(value, STARTED)
                job = self.job_of(before)
                self.assertEqual(self.tasks("SuspendGroup", Name="A")[0], DONE)
                self.assertEqual(int(job.get()["JobState"]), RUNNING)
                self.assertIsNone(job.error())
                value, _ = job.invoke(cancel, **parameters)
                self.assertIn(value, (DONE, STARTED))
                self.assertEqual(int(job.wait()["JobState"]), end)
                self.assert_told(listening, job, end)


class ReplicationStoryOfCmdlets(ReplicationStory):
    """The same with the DMTF's resource URIs, as Windows' CIM cmdlets write them."""

    family = "dmtf"
