"""The story of a job over WS-Management, told by pypsrp in all three namespaces."""

import xml.etree.ElementTree as ET

import remote
from harness import COMPLETED, DONE, EXCEPTION, MIB, STARTED, TERMINATE, TERMINATED, V1, V2, Case, random_image, wait_until
from remote import Remote, fault, local, properties

REPLICATION = "root/microsoft/windows/storagereplica"
SERVICE = "Cimwright_DemoService"


class WsmanStory(Case):
    """What is the same in both Hyper-V namespaces."""

    family = "wmi"
    #: Whether the class of jobs marks DeleteOnCompletion as writable.
    writable = False

    def setUp(self):
        super().setUp()
        self.wsman = remote.connect()
        self.addCleanup(self.wsman.close)
        self.remote = Remote(self.wsman, self.namespace, self.family)

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

    def test_a_job_that_is_cancelled(self):
        job = self.demo_job()
        value, _ = job.invoke("RequestStateChange", RequestedState=str(TERMINATE))
        self.assertIn(value, (DONE, STARTED))
        self.assertEqual(int(job.wait()["JobState"]), TERMINATED)

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


class V1Story(WsmanStory):
    """root/virtualization, with the DMTF's resource URIs as Windows' CIM cmdlets use them."""

    namespace = V1
    family = "dmtf"
    writable = True


del WsmanStory


class ReplicationStory(Case):
    """root/microsoft/windows/storagereplica, where GetError gives an embedded instance."""

    def test_the_reason_of_a_failure_is_an_embedded_instance(self):
        wsman = remote.connect()
        self.addCleanup(wsman.close)
        there = Remote(wsman, REPLICATION)
        value, output = there.invoke(
            "MSFT_WvrAdminTasks", None, "WvrCreateReplicationGroup", ReplicationGroupName="soap",
            VolumeNames=[str(self.directory / "missing.raw")], LogPath=str(self.directory / "log"),
        )
        self.assertNotEqual(value, 0)
        # The refused call has left a job with the reason.
        jobs = [remote.properties(i) for i in there.enumerate("MSFT_SrJob", most=100)]
        failed = [j["InstanceID"] for j in jobs if int(j["JobState"]) == EXCEPTION]
        self.assertTrue(failed, (value, output, jobs))
        errors = [there.invoke("MSFT_SrJob", {"InstanceID": i}, "GetError") for i in failed]
        for value, output in errors:
            self.assertEqual(value, 0)
            error = output["Error"]
            self.assertIsInstance(error, ET.Element)
            self.assertTrue(error.get(f"{remote.XSI}type").endswith(":CIM_Error_Type"))
        self.assertTrue(any(properties(o["Error"])["MessageID"].startswith("CWREPL") for _, o in errors))
