"""Storage Replica on two servers: the life of a partnership, every return code, and what jobs say when it fails."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import unittest
import warnings

import pywbem

from computers import Replication, SrJob, computers, same, write
from harness import (
    CERTIFICATE,
    COMPLETED,
    EXCEPTION,
    FULL_KIND,
    FULL_VALUE,
    KILL,
    KILLED,
    MIB,
    RUNNING,
    START,
    STARTED,
    SUSPEND,
    TERMINATE,
    TERMINATED,
    wait_until,
)

#: Large enough that the first copy is seen on its way.
LARGE = 768 * MIB
#: ReplicationStatus.
REPLICATING, PAUSED, IN_RPO, ALONE = 1, 5, 12, 15
INVALID_TRANSITION = 4097
#: The return codes of the DMTF table.
NOT_SUPPORTED, UNSPECIFIED, TIMEOUT, FAILED, INVALID_PARAMETER, ACCESS_DENIED = 1, 2, 3, 4, 5, 6


class ReplicaCase(unittest.TestCase):
    """Two computers with a group each."""

    longMessage = True
    size = 4 * MIB

    def setUp(self):
        self.alpha, self.beta = self.enterContext(computers("alpha", "beta"))
        self.a, self.b = Replication(self.alpha), Replication(self.beta)
        for one in (self.a, self.b):
            self.addCleanup(one.connection.close)

    def groups(self, size=None, there=None):
        """A group on either computer, made by asking the first."""
        size = size or self.size
        self.source = self.alpha.volume("v", size, os.urandom(1 << 16))
        self.target = self.beta.volume("v", there or size)
        self.a.new_group("A", self.source)
        self.a.done(
            "NewSrGroup", ComputerName="beta", Name="B", VolumeName=[self.target],
            LogVolumeName=str(self.beta.root / "B.log"), LogSizeInBytes=pywbem.Uint64(2 * MIB),
        )

    def names(self):
        """The names of the partnership."""
        return {"SourceRGName": "A", "DestinationComputerName": "beta", "DestinationRGName": "B"}

    def partners(self, mode=1, **more):
        """Makes the groups partners and waits until both sides are the same."""
        self.groups()
        value, _ = self.a.call("CreatePartnership", ReplicationMode=pywbem.Uint32(mode), **self.names(), **more)
        self.assertIn(value, (0, STARTED))
        job = self.a.newest()
        self.assertEqual(job.wait()["JobState"], COMPLETED, job.error())

    def assert_reason(self, error, message_id, code=None):
        """Everything that a CIM_Error has to tell."""
        self.assertIsInstance(error, pywbem.CIMInstance)
        self.assertEqual(error.classname, "CIM_Error")
        self.assertEqual(error["MessageID"], message_id, error["Message"])
        for name in ("Message", "OwningEntity", "RecommendedActions", "ProbableCauseDescription", "ErrorSource"):
            self.assertTrue(error[name], name)
        self.assertTrue(error["CIMStatusCode"])


class TestLife(ReplicaCase):
    """From two groups to two groups again."""

    def test_the_life_of_a_partnership(self):
        self.groups(LARGE)
        group = self.a.group("A")
        self.assertEqual(group.classname, "MSFT_WvrReplicationGroup")
        self.assertEqual((group["ReplicationStatus"], group["ComputerName"]), (ALONE, "alpha"))
        self.assertEqual(group["Replicas"][0]["PartitionSize"], LARGE)
        self.assertEqual(self.b.group("B")["Replicas"][0]["DataVolume"], self.target)

        self.a.done("CreatePartnership", PreventReplication=True, ReplicationMode=pywbem.Uint32(1), **self.names())
        self.assertIsNone(self.a.newest().error())
        partnership = self.b.done("GetPartnership")["Output"][0]
        self.assertEqual((partnership["SourceComputerName"], partnership["DestinationRGName"]), ("alpha", "B"))

        job = self.first_copy()
        self.assertIsNone(job.error(), "no error after success")
        self.assertEqual(job.get()["PercentComplete"], 100)
        self.assertIn("MSFT_WvrReplicationGroup", {p.classname for p in self.affected(job)})
        self.a.until_status(REPLICATING)
        self.assertEqual(self.a.replica()["NumOfBytesRemaining"], 0)
        self.assertTrue(same(self.source, self.target))

        self.a.done("SuspendGroup", Name="A")
        self.a.until_status(PAUSED)
        self.assertTrue(self.a.group("A")["IsSuspended"])
        write(self.a.export(), 5 * MIB, MIB, 0x5A)
        self.assertFalse(same(self.source, self.target), "it is paused")
        lacking = wait_until(lambda: self.a.replica()["NumOfBytesRemaining"], "the write to be counted")
        self.assertIn(lacking, range(MIB, LARGE // 2), "only the difference")
        self.a.call("SyncGroup", Name="A")
        self.assertEqual(self.a.newest().wait()["JobState"], COMPLETED)
        self.assertTrue(same(self.source, self.target))

        self.switch()
        names = self.names_now()
        self.a.call("RemovePartnership", **names)
        self.assertEqual(self.a.newest().wait()["JobState"], COMPLETED)
        for side in (self.a, self.b):
            self.assertEqual(side.connection.EnumerateInstances("MSFT_WvrReplicationPartnership"), [])
            self.assertEqual(side.replica()["ReplicationStatus"], ALONE)
        self.a.done("RemoveSrGroup", Name="A")
        self.a.done("RemoveSrGroup", ComputerName="beta", Name="B")
        self.assertEqual(sorted(p.name for p in self.beta.root.iterdir()), ["v"])
        self.assertTrue(same(self.source, self.target))

    def first_copy(self):
        """Watches the job of the first copy: it grows, and says of no error."""
        answers = []
        before = set(self.a.job_ids())
        waiting = Replication(self.alpha)
        self.addCleanup(waiting.connection.close)
        asking = threading.Thread(target=lambda: answers.append(waiting.call("SyncGroup", Name="A")[0]))
        asking.start()
        path = wait_until(
            lambda: next((p for p in self.a.jobs() if p["InstanceID"] not in before), None), "the job of SyncGroup"
        )
        job = SrJob(self.a.connection, path)
        seen, told = [], []

        def over():
            now = job.get("PercentComplete", "JobState", "JobStatus")
            if now["JobState"] == RUNNING:
                seen.append(now["PercentComplete"])
                told.append(now["JobStatus"])
                self.assertIsNone(job.error(), "no error while it runs")
            return job.ended()

        wait_until(over, "the end of the first copy")
        asking.join()
        self.assertIn(answers[0], (0, STARTED))
        self.assertEqual(job.state, COMPLETED, job.error())
        self.assertEqual(seen, sorted(seen), "it only grows")
        self.assertTrue(any(0 < percent < 100 for percent in seen), f"seen on its way: {seen}")
        self.assertTrue(any(f"of {LARGE} bytes" in text for text in told), f"it counts bytes: {set(told)}")
        return job

    def affected(self, job):
        """What the job affects."""
        return self.a.connection.AssociatorNames(job.path, AssocClass="CIM_AffectedJobElement")

    def switch(self):
        """Turns the direction round and back again."""
        for new, old, there in (("beta", self.a, self.b), ("alpha", self.b, self.a)):
            value, _ = self.a.call(
                "SetPartnershipSetSourcePartnership", NewSourceComputerName=new, SourceRGName="B" if new == "beta" else "A",
                DestinationComputerName="alpha" if new == "beta" else "beta",
                DestinationRGName="A" if new == "beta" else "B",
            )
            self.assertIn(value, (0, STARTED), self.a.newest().error())
            there.until_status(REPLICATING)
            shown = there.done("GetPartnership")["Output"][0]
            self.assertEqual(shown["SourceComputerName"], new)
            write(there.export(), 7 * MIB, MIB, 0x33 if new == "beta" else 0x44)
            wait_until(lambda: there.replica()["NumOfBytesRemaining"] == 0, "the write on the other side")
            self.assertTrue(same(self.source, self.target), f"{new} is the source")

    def names_now(self):
        """The names of the partnership, as it shows itself."""
        shown = self.a.done("GetPartnership")["Output"][0]
        return {name: shown[name] for name in ("SourceRGName", "DestinationRGName", "DestinationComputerName")}

    def test_a_topology_in_one_call(self):
        source, target = self.alpha.volume("v", 4 * MIB, b"content."), self.beta.volume("v", 4 * MIB)
        value, _ = self.a.call(
            "CreateTopology", SourceRGName="A", SourceVolumeName=[source],
            SourceLogVolumeName=str(self.alpha.root / "log"), DestinationComputerName="beta", DestinationRGName="B",
            DestinationVolumeName=[target], DestinationLogVolumeName=str(self.beta.root / "log"),
            LogSizeInBytes=pywbem.Uint64(2 * MIB), ReplicationMode=pywbem.Uint32(2),
        )
        self.assertIn(value, (0, STARTED))
        self.assertEqual(self.a.newest().wait()["JobState"], COMPLETED)
        self.a.until_status(IN_RPO)
        self.assertTrue(same(source, target))
        self.a.call("RemoveTopology", **self.names())
        self.assertEqual(self.a.newest().wait()["JobState"], COMPLETED)
        self.assertEqual(self.b.connection.EnumerateInstances("MSFT_WvrReplicationGroup"), [])

    def test_the_one_method_with_a_job_of_its_own(self):
        volume = self.alpha.volume("v", MIB)
        value, output = self.a.call(
            "WvrCreateReplicationGroup", ReplicationGroupName="G", VolumeNames=[volume],
            LogPath=str(self.alpha.root / "log"),
        )
        self.assertEqual(value, STARTED)
        job = SrJob(self.a.connection, output["Task"])
        self.assertEqual(job.path.classname, "MSFT_SrJob")
        self.assertEqual(job.wait()["JobState"], COMPLETED)
        self.assertIsNone(job.error())


class TestFailures(ReplicaCase):
    """Every return code, and the reason that GetError of the job gives."""

    def test_every_return_code_and_its_reason(self):
        self.groups()
        oleg = Replication(self.alpha, "oleg")
        self.addCleanup(oleg.connection.close)
        outside = {"Name": "X", "VolumeName": ["/etc/hosts"], "LogVolumeName": str(self.alpha.root / "x.log")}
        small = {"Name": "X", "LogVolumeName": str(self.alpha.root / "x.log"), "LogSizeInBytes": pywbem.Uint64(4096)}
        small["VolumeName"] = [self.alpha.volume("x", MIB)]
        self.silent("mute")
        self.alpha.knows("away", "http://127.0.0.1:9")
        self.alpha.knows("false", self.beta.secure_url, "--ca", CERTIFICATE)
        for code, message_id, side, method, parameters in [
            (NOT_SUPPORTED, "CWREPL1120", self.a, "WvrQueryClusterId", {}),
            (NOT_SUPPORTED, "CWREPL1417", self.a, "CreatePartnership",
             {"SourceRGName": "A", "DestinationComputerName": "alpha", "DestinationRGName": "B"}),
            (TIMEOUT, "CWREPL1305", self.a, "GetGroup", {"ComputerName": "mute"}),
            (FAILED, "CWREPL1302", self.a, "GetGroup", {"ComputerName": "away"}),
            (FAILED, "CWREPL1303", self.a, "GetGroup", {"ComputerName": "false"}),
            (INVALID_PARAMETER, "CWREPL1301", self.a, "GetGroup", {"ComputerName": "nobody"}),
            (INVALID_PARAMETER, "CWREPL1102", self.a, "GetGroup", {"Name": "nothing"}),
            (INVALID_PARAMETER, "CWREPL1021", self.a, "NewSrGroup", small),
            (ACCESS_DENIED, "CWREPL1009", self.a, "NewSrGroup", outside),
            (ACCESS_DENIED, "CWREPL1310", oleg, "GetGroup", {}),
        ]:
            with self.subTest(message_id=message_id):
                value, error = side.refused(method, **parameters)
                self.assertEqual(value, code, error["Message"])
                self.assert_reason(error, message_id)
        self.a.done("GrantSrUserAccess", UserName="oleg")
        self.assertEqual(len(oleg.done("GetGroup")["Output"]), 1)

    def test_a_failure_of_the_system_is_unspecified(self):
        with dead_file(self.alpha.root / "dead") as path:
            if path is None:
                print("   no file system can die here: code 2 is left to the tests of the provider")
                return
            value, error = self.a.refused("VerifyReplicablePartition", PartitionId=str(path))
            self.assertEqual(value, UNSPECIFIED, error["Message"])
            self.assert_reason(error, "CWREPL1013")

    def silent(self, name):
        """A computer that takes questions and never answers."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def hang_up():
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                taken.recv(1 << 16)
                taken.close()

        threading.Thread(target=hang_up, daemon=True).start()
        self.alpha.knows(name, f"http://127.0.0.1:{listener.getsockname()[1]}")

    def test_the_raw_answer_has_an_embedded_instance(self):
        self.a.refused("GetGroup", Name="nothing")
        connection = self.a.connection
        connection.debug = True
        self.a.newest().error()
        self.assertRegex(connection.last_raw_reply.decode(), r'EmbeddedObject="instance"')

    def test_partners_of_different_sizes(self):
        self.groups(there=8 * MIB)
        value, error = self.a.refused("CreatePartnership", **self.names())
        self.assertEqual(value, FAILED)
        self.assert_reason(error, "CWREPL1403")
        self.assertIn(str(8 * MIB), error["Message"])

    def test_a_partner_that_does_not_let_us_in(self):
        self.groups()
        self.alpha.knows("beta", self.beta.url, user="oleg")
        value, error = self.a.refused("CreatePartnership", **self.names())
        self.assertEqual(value, ACCESS_DENIED)
        self.assert_reason(error, "CWREPL1309")
        self.alpha.knows("beta", self.beta.url, user="rosa")
        value, error = self.a.refused("CreatePartnership", **self.names())
        self.assertEqual(value, ACCESS_DENIED)
        self.assert_reason(error, "CWREPL1304")

    def test_a_partner_whose_server_is_killed_and_comes_back(self):
        self.partners(mode=2)
        self.beta.stop(signal.SIGKILL)
        write(self.a.export(), MIB, MIB, 0x66)
        wait_until(lambda: self.a.replica()["NumOfBytesRemaining"] != 0, "the loss to be seen")
        value, error = self.a.refused("SyncGroup", Name="A")
        self.assertEqual(value, STARTED, "the answer does not wait so long")
        self.assert_reason(error, "CWREPL1302")
        self.assertTrue(self.fault(self.a, "CWREPL1302"))
        self.beta.start()
        self.a.until_status(IN_RPO)
        wait_until(lambda: self.a.replica()["NumOfBytesRemaining"] == 0, "the difference to be sent")
        self.assertTrue(same(self.source, self.target))

    def test_a_destination_volume_that_is_removed(self):
        self.partners(mode=2)
        pathlib.Path(self.target).unlink()
        wait_until(lambda: self.fault(self.b, "CWREPL1001"), "the other side to see it")
        write(self.a.export(), MIB, MIB, 0x66)
        wait_until(lambda: self.a.replica()["NumOfBytesRemaining"] != 0, "the loss to be seen")
        _, error = self.a.refused("SyncGroup", Name="A")
        self.assert_reason(error, "CWREPL1407")
        job = self.a.newest().get()
        self.assertEqual((job["JobState"], job["ErrorCode"]), (EXCEPTION, FAILED))
        self.assertIn(self.target, error["ProbableCauseDescription"], "the reason behind it, from the other side")

    def fault(self, side, message_id):
        """Whether a computer has this fault."""
        with warnings.catch_warnings():
            # The class is documented without a key.
            warnings.simplefilter("ignore", pywbem.MissingKeybindingsWarning)
            health = side.connection.EnumerateInstances("MSFT_WvrHealth")
        return any(h["FaultTypeId"] == message_id for h in health)

    def test_a_destination_that_is_full(self):
        if FULL_KIND != "tmpfs":
            print("   nothing can be mounted here: a full destination is left to the tests of the provider")
            return
        small = pathlib.Path(FULL_VALUE) / "replica"
        with computers("gamma", "delta", root=small) as (gamma, delta):
            self.addCleanup(shutil.rmtree, small)
            asked = Replication(gamma)
            self.addCleanup(asked.connection.close)
            source, target = gamma.volume("v", 40 * MIB, os.urandom(1 << 16)), delta.volume("v", 40 * MIB)
            asked.new_group("A", source)
            asked.done(
                "NewSrGroup", ComputerName="delta", Name="B", VolumeName=[target],
                LogVolumeName=str(small / "B.log"), LogSizeInBytes=pywbem.Uint64(2 * MIB),
            )
            names = {"SourceRGName": "A", "DestinationComputerName": "delta", "DestinationRGName": "B"}
            _, error = asked.refused("CreatePartnership", **names)
            self.assert_reason(error, "CWREPL1405")
            self.assertIn("Free space", error["RecommendedActions"][0])

    def test_a_source_volume_that_is_removed(self):
        self.groups()
        pathlib.Path(self.source).unlink()
        _, error = self.a.refused("CreatePartnership", **self.names())
        self.assert_reason(error, "CWREPL1001")


class TestJobs(ReplicaCase):
    """What a client may do with an MSFT_SrJob."""

    #: Those of them that say when a job runs.
    SCHEDULE = {
        "ScheduledStartTime", "JobRunTimes", "RunMonth", "RunDay", "RunDayOfWeek", "RunStartInterval", "LocalOrUtcTime", "UntilTime",
    }
    WRITABLE = {
        "ScheduledStartTime": pywbem.CIMDateTime("20300101000000.000000+000"),
        "JobRunTimes": pywbem.Uint32(3),
        "RunMonth": pywbem.Uint8(4),
        "RunDay": pywbem.Sint8(-3),
        "RunDayOfWeek": pywbem.Sint8(-7),
        "RunStartInterval": pywbem.CIMDateTime("00000000020000.000000:000"),
        "LocalOrUtcTime": pywbem.Uint16(2),
        "UntilTime": pywbem.CIMDateTime("20310101000000.000000+000"),
        "Notify": "ann@example.org",
        "Priority": pywbem.Uint32(7),
        "DeleteOnCompletion": False,
        "TimeBeforeRemoval": pywbem.CIMDateTime("00000001000000.000000:000"),
    }

    def waiting_job(self):
        """A job that goes on for a while: it follows a copy that does not begin, because somebody paused it."""
        self.a.call("SyncGroup", Name="A")
        job = self.a.newest()
        self.a.done("SuspendGroup", Name="A")
        self.assertEqual(job.state, RUNNING, job.error())
        return job

    def test_jobs_are_ended_and_killed(self):
        self.groups()
        self.a.done("CreatePartnership", PreventReplication=True, **self.names())
        self.beta.stop(signal.SIGKILL)
        oleg = Replication(self.alpha, "oleg")
        self.addCleanup(oleg.connection.close)

        job = self.waiting_job()
        self.assertIsNone(job.error(), "no error while it runs")
        self.assertEqual(job.request(99), INVALID_PARAMETER)
        self.assertEqual(SrJob(oleg.connection, job.path).kill(), ACCESS_DENIED)
        with self.assertRaises(pywbem.CIMError) as caught:
            SrJob(oleg.connection, job.path).request(TERMINATE)
        self.assertEqual(caught.exception.status_code, pywbem.CIM_ERR_ACCESS_DENIED)
        self.assertEqual(job.state, RUNNING)
        self.assertIn(job.request(TERMINATE), (0, STARTED))
        self.assertEqual(job.wait()["JobState"], TERMINATED)
        for state in (START, SUSPEND, TERMINATE, KILL):
            with self.subTest(state=state):
                self.assertEqual(job.request(state), INVALID_TRANSITION)

        job = self.waiting_job()
        self.assertIn(job.request(KILL), (0, STARTED))
        self.assertEqual(job.wait()["JobState"], KILLED)

        job = self.waiting_job()
        self.assertEqual(job.kill(DeleteOnKill=True), 0)
        self.assertEqual(job.wait()["JobState"], KILLED)
        self.assertEqual(len(self.a.done("GetPartnership")["Output"]), 1, "the partnership is not the job's")

    def test_twelve_properties_can_be_written(self):
        self.a.new_group("A", self.alpha.volume("v", MIB))
        job = self.a.newest()
        self.assertEqual(len(self.WRITABLE), 12)
        for name, value in self.WRITABLE.items():
            with self.subTest(name=name):
                changed = pywbem.CIMInstance(job.path.classname, {name: value}, path=job.path)
                if name in self.SCHEDULE:
                    # This job has ended, so there is nothing left to be scheduled: the refusal says so, not that nobody may write it.
                    with self.assertRaises(pywbem.CIMError) as caught:
                        self.a.connection.ModifyInstance(changed, PropertyList=[name])
                    self.assertEqual(caught.exception.status_code, pywbem.CIM_ERR_FAILED)
                    self.assertIn("only while it has not begun", caught.exception.status_description)
                    continue
                self.a.connection.ModifyInstance(changed, PropertyList=[name])
                self.assertEqual(job.value(name), value)
        for name, value, code in [
            ("RunMonth", pywbem.Uint8(12), pywbem.CIM_ERR_INVALID_PARAMETER),
            ("RunDay", pywbem.Sint8(-32), pywbem.CIM_ERR_INVALID_PARAMETER),
            ("PercentComplete", pywbem.Uint16(5), pywbem.CIM_ERR_INVALID_PARAMETER),
            ("Nonsense", "x", pywbem.CIM_ERR_NO_SUCH_PROPERTY),
        ]:
            with self.subTest(name=name, value=value), self.assertRaises(pywbem.CIMError) as caught:
                changed = pywbem.CIMInstance(job.path.classname, {name: value}, path=job.path)
                self.a.connection.ModifyInstance(changed, PropertyList=[name])
            self.assertEqual(caught.exception.status_code, code)


@contextlib.contextmanager
def dead_file(path):
    """A file whose file system has died under it; None where that cannot be made."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or FULL_KIND != "tmpfs":
        yield None
        return
    path.write_bytes(bytes(MIB))
    before = path.stat().st_dev
    nodes = "driver=null-co,node-name=data,size=1048576"
    export = f"type=fuse,id=file,node-name=data,mountpoint={path}"
    with subprocess.Popen(["qemu-storage-daemon", "--blockdev", nodes, "--export", export]) as daemon:
        wait_until(lambda: path.stat().st_dev != before or daemon.poll() is not None, "the file system")
        daemon.kill()
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
