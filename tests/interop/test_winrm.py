"""The crate winrm-rs, unmodified: its queries in WQL, the part of its WS-Management layer that needs no Windows shell. With them it
sees the jobs of all three namespaces, polls them and follows their associations; it has no call for methods, nor for events.
"""

import os
import pathlib
import re
import subprocess
import unittest
import urllib.parse

import computers
from harness import COMPLETED, EXCEPTION, HTTP, MIB, RUNNING, STARTED, V1, V2, Case, wait_until

HERE = pathlib.Path(__file__).parent
TARGET = HERE.parent.parent / "target" / "interop-winrm"


class Winrm:
    """The program beside this file, built once."""

    @classmethod
    def setUpClass(cls):
        manifest = HERE / "winrm" / "Cargo.toml"
        subprocess.run(["cargo", "build", "--quiet", "--manifest-path", str(manifest), "--target-dir", str(TARGET)], check=True)

    def at(self, url=HTTP, user="ada", password=None):
        """Says where to ask, and as whom."""
        self.url, self.user = url, user
        self.password = password or os.environ[f"INTEROP_PASSWORD_{user.upper()}"]

    def query(self, text):
        """Runs a query; the result of the program."""
        address = urllib.parse.urlsplit(self.url)
        command = [str(TARGET / "debug" / "interop-winrm"), address.hostname, str(address.port), self.user, self.namespace, text]
        environment = {**os.environ, "INTEROP_PASSWORD": self.password, "NO_PROXY": "*"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def found(self, text):
        """Runs a query that has to succeed; what it found."""
        result = self.query(text)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def state(self, name, key):
        """JobState of the one job of this key."""
        (state,) = re.findall(
            "<p:JobState>([0-9]+)</p:JobState>", self.found(f"SELECT * FROM {name} WHERE InstanceID = '{key}'")
        )
        return int(state)


class WinrmQueries(Winrm, Case):
    """root/virtualization/v2."""

    namespace = V2

    def setUp(self):
        super().setUp()
        self.at()

    def test_jobs_are_found_by_a_query(self):
        jobs = [self.demo(self.ada, ending="complete") for _ in range(3)]
        for job in jobs:
            job.wait()
        for job in jobs:
            key = job.path["InstanceID"]
            found = self.found(f"SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = '{key}'")
            self.assertIn(f"<p:InstanceID>{key}</p:InstanceID>", found)
            self.assertIn(f"<p:JobState>{COMPLETED}</p:JobState>", found)
        found = self.found("SELECT InstanceID FROM Msvm_ConcreteJob WHERE JobState = 7")
        for job in jobs:
            self.assertIn(job.path["InstanceID"], found)

    def test_a_job_is_polled_to_its_end(self):
        job = self.demo(self.ada)
        name, key = job.path.classname, job.path["InstanceID"]
        wait_until(lambda: self.state(name, key) == RUNNING, "the job to run")
        found = self.found(f'ASSOCIATORS OF {{{name}.InstanceID="{key}"}} WHERE AssocClass = CIM_OwningJobElement')
        self.assertIn("<p:Cimwright_DemoService ", found)
        self.finish(job, "fail")
        wait_until(lambda: self.state(name, key) == EXCEPTION, "the job to fail")
        self.assertRegex(self.found(f"SELECT * FROM {name} WHERE InstanceID = '{key}'"), "<p:ErrorDescription>[^<]+<")

    def test_what_is_no_query_is_told(self):
        refused = self.query("SELEC * FROM X")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("SELEC", refused.stderr)


class WinrmQueriesOfV1(WinrmQueries):
    """root/virtualization."""

    namespace = V1


class WinrmQueriesOfReplication(Winrm, unittest.TestCase):
    """root/microsoft/windows/storagereplica, on a computer of its own."""

    namespace = computers.NAMESPACE

    def test_a_job_is_polled_to_its_end(self):
        (alpha,) = self.enterContext(computers.computers("alpha"))
        self.at(alpha.url, "sara", computers.PASSWORD)
        other = computers.Replication(alpha)
        self.addCleanup(other.connection.close)
        value, output = other.call(
            "WvrCreateReplicationGroup", ReplicationGroupName="G", VolumeNames=[alpha.volume("v", MIB)],
            LogPath=str(alpha.root / "log"),
        )
        self.assertEqual(value, STARTED)
        key = output["Task"]["InstanceID"]
        wait_until(lambda: self.state("MSFT_SrJob", key) == COMPLETED, "the job to end")
        found = self.found("SELECT Name, ReplicationStatus FROM MSFT_WvrReplicationGroup")
        self.assertIn("<p:Name>G</p:Name>", found)
        other.refused("GetGroup", Name="nothing")
        found = self.found(f"SELECT * FROM MSFT_SrJob WHERE JobState = {EXCEPTION}")
        self.assertIn('<p:ErrorDescription>There is no group "nothing" on alpha.</p:ErrorDescription>', found)
