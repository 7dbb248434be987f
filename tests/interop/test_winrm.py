"""The crate winrm-rs, unmodified: its queries in WQL, the part of its WS-Management layer that needs no Windows shell."""

import os
import pathlib
import subprocess
import urllib.parse

from harness import COMPLETED, HTTP, V2, Case

HERE = pathlib.Path(__file__).parent
TARGET = HERE.parent.parent / "target" / "interop-winrm"


class WinrmQueries(Case):
    """The program beside this file, built once."""

    namespace = V2

    @classmethod
    def setUpClass(cls):
        manifest = HERE / "winrm" / "Cargo.toml"
        subprocess.run(["cargo", "build", "--quiet", "--manifest-path", str(manifest), "--target-dir", str(TARGET)], check=True)

    def query(self, text, namespace=V2):
        """Runs a query; the result of the program."""
        address = urllib.parse.urlsplit(HTTP)
        command = [str(TARGET / "debug" / "interop-winrm"), address.hostname, str(address.port), "ada", namespace, text]
        environment = {**os.environ, "INTEROP_PASSWORD": os.environ["INTEROP_PASSWORD_ADA"], "NO_PROXY": "*"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    def test_jobs_are_found_by_a_query(self):
        jobs = [self.demo(self.ada, ending="complete") for _ in range(3)]
        for job in jobs:
            job.wait()
        for job in jobs:
            key = job.path["InstanceID"]
            found = self.query(f"SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = '{key}'")
            self.assertEqual(found.returncode, 0, found.stderr)
            self.assertIn(f"<p:InstanceID>{key}</p:InstanceID>", found.stdout)
            self.assertIn(f"<p:JobState>{COMPLETED}</p:JobState>", found.stdout)
        found = self.query("SELECT InstanceID FROM Msvm_ConcreteJob WHERE JobState = 7")
        for job in jobs:
            self.assertIn(job.path["InstanceID"], found.stdout)

    def test_what_is_no_query_is_told(self):
        refused = self.query("SELEC * FROM X")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("SELEC", refused.stderr)
