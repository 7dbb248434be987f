"""pywbemcli, the command line of the pywbem project, as a person would use it: every group of its commands.

Two of its commands cannot be used with any server in this version and are not here: `instance query` (it takes what pywbem's
IterQueryInstances gives for a list) and `connection test` where the default namespace has no classes.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import pywbem
from harness import ENDED, V2, connect, wait_until

INTEROP = "root/interop"
PROGRAM = pathlib.Path(sys.executable).parent / "pywbemcli"
#: What a client loads, to work with.
MOF = """
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride);
Qualifier Description : string = null, Scope(any), Flavor(Translatable);

   [Description ("A shelf.")]
class Acme_Shelf {
      [Key]
   string Name;
   uint32 Width = 80;
   boolean Full;
};

class Acme_Rack : Acme_Shelf {
   string Rooms[];
};

   [Association]
class Acme_Beside {
      [Key] Acme_Shelf REF Left;
      [Key] Acme_Shelf REF Right;
};

instance of Acme_Shelf as $A { Name = "a"; };
instance of Acme_Rack as $B { Name = "b"; Rooms = { "x", "y" }; };
instance of Acme_Beside { Left = $A; Right = $B; };
"""


class PywbemcliTests(unittest.TestCase):
    """One process for each command; a file of connections of its own."""

    longMessage = True

    @classmethod
    def setUpClass(cls):
        # pylint: disable-next=consider-using-with
        scratch = tempfile.TemporaryDirectory(dir=os.environ["INTEROP_SCRATCH"])
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)

    def run_it(self, *words, namespace=INTEROP, options=(), script=None):
        """Runs the program; gives its exit code and all it says."""
        command = [PROGRAM, "--server", os.environ["INTEROP_HTTP"], "--user", "ada"]
        command += ["--password", os.environ["INTEROP_PASSWORD_ADA"], "--default-namespace", namespace]
        environment = os.environ | {
            "PYWBEMCLI_CONNECTIONS_FILE": str(self.scratch / "connections.yaml"),
            "PYWBEMTOOLS_TERMWIDTH": "200",
        }
        done = subprocess.run(
            [*command, *options, *words],
            env=environment,
            cwd=self.scratch,
            input=script or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def cli(self, *words, **options):
        """Runs a command that has to work; gives what it says."""
        code, said = self.run_it(*words, **options)
        self.assertEqual(code, 0, f"{words}\n{said}")
        return said

    def says(self, pattern, *words, **options):
        """Runs a command that has to say this."""
        said = self.cli(*words, **options)
        self.assertRegex(said, pattern, words)
        return said

    def fails(self, pattern, *words, **options):
        """Runs a command that the server has to refuse, with these words."""
        code, said = self.run_it(*words, **options)
        self.assertEqual(code, 1, f"{words}\n{said}")
        self.assertRegex(said, pattern, words)

    # ---- what is there

    def test_classes(self):
        self.says(r"class CIM_Job : CIM_LogicalElement \{\n\n   string JobStatus", "class", "get", "CIM_Job", "--lo", "--nq")
        self.says(r"(?m)^CIM_ManagedElement$", "class", "enumerate", "--names-only")
        self.says(r"root/virtualization/v2: +Msvm_ConcreteJob", "class", "find", "Msvm_*Job")
        self.says(r"CIM_Job\n \+-- CIM_ConcreteJob", "class", "tree", "CIM_Job")
        self.says(r"root\n \+-- CIM_ManagedElement\n +\+-- ", "class", "tree", "CIM_Job", "--superclasses")
        self.says(r"CIM_ConcreteJob", "class", "associators", "Msvm_ComputerSystem", "--names-only", namespace=V2)
        self.says(r"Msvm_OwningJobElement", "class", "references", "Msvm_ConcreteJob", "--names-only", namespace=V2)
        self.fails(r"CIM_ERR_NOT_FOUND", "class", "get", "No_Such")
        self.fails(r"CIM_ERR_NOT_SUPPORTED", "class", "delete", "CIM_CIMOMStatisticalData", "--include-instances")

    def test_qualifiers(self):
        self.says(r"Qualifier Key : boolean = false,\n    Scope\(property, reference\)", "qualifier", "get", "Key")
        self.says(r"Qualifier Association .*(?s:.)*Qualifier ValueMap", "qualifier", "enumerate")
        self.fails(r"CIM_ERR_NOT_SUPPORTED|CIM_ERR_FAILED", "qualifier", "delete", "Key")

    def test_the_server_and_its_namespaces(self):
        self.says(r"^Cimwright\n", "server", "brand")
        self.says(r"Cimwright +\d+\.\d+\.\d+ +root/interop +root\n", "server", "info")
        self.says(r"root/virtualization/v2 .*CIM.*Msvm", "server", "schema")
        self.says(r"^root/interop\n", "namespace", "interop")
        self.says(r"Created namespace root/shelf", "namespace", "create", "root/shelf")
        self.addCleanup(self.run_it, "namespace", "delete", "root/shelf")
        self.says(r"(?m)^root/shelf$", "namespace", "list")
        self.fails(r"CIM_ERR_ALREADY_EXISTS", "namespace", "create", "root/shelf")
        self.says(r"Deleted namespace root/shelf", "namespace", "delete", "root/shelf")
        self.assertNotIn("root/shelf", self.cli("namespace", "list"))

    def test_profiles(self):
        self.says(
            r"DMTF +Indications +1\.2\.2\nDMTF +Job Control +1\.0\.0\nDMTF +Profile Registration +1\.0\.0\nSNIA +Server",
            "profile", "list",
        )  # fmt: skip
        said = self.cli("profile", "centralinsts", "--organization", "DMTF", "--profile", "Indications")
        self.assertIn("CIM_IndicationService", said)

    def test_connections(self):
        self.says(r"Connection OK", "connection", "test")
        self.says(r"PYWBEMCLI_USER=ada", "connection", "export")
        self.says(r"default-namespace +root/interop", "connection", "show")
        self.cli("connection", "save", "mine")
        self.says(r"mine", "connection", "list")
        self.cli("connection", "delete", "mine")

    # ---- what clients change

    def test_classes_and_instances_that_it_loads(self):
        shelf = "root/shelves"
        self.cli("namespace", "create", shelf)
        self.addCleanup(self.run_it, "namespace", "delete", shelf, "--include-objects")
        (self.scratch / "shelf.mof").write_text(MOF, encoding="utf-8")
        self.cli("server", "add-mof", "shelf.mof", "--namespace", shelf)

        def here(pattern, *words):
            return self.says(pattern, *words, namespace=shelf)

        here(r"(?s)instance of Acme_Shelf.*Width = 80", "instance", "get", 'Acme_Shelf.Name="a"')
        here(r"(?s)Acme_Rack\.Name=\"b\".*Acme_Shelf\.Name=\"a\"|Acme_Shelf\.Name=\"a\".*Acme_Rack\.Name=\"b\"",
             "instance", "enumerate", "Acme_Shelf", "--names-only")  # fmt: skip
        here(r'Acme_Shelf.Name="c"', "instance", "create", "Acme_Shelf", "-p", "Name=c", "-p", "Width=7", "-p", "Full=true")
        here(r"^$", "instance", "modify", 'Acme_Shelf.Name="c"', "-p", "Width=8")
        here(r"(?s)Width = 8;\n   Full = true", "instance", "get", "Acme_Shelf", "--key", "Name=c")
        here(r"Acme_Rack +1\n.*Acme_Shelf +2\n", "instance", "count", "Acme_[RS]*")
        here(r'Acme_Rack\.Name="b"', "instance", "associators", 'Acme_Shelf.Name="a"', "--names-only")
        here(r"(?s)instance of Acme_Beside.*Left", "instance", "references", 'Acme_Shelf.Name="a"')
        here(r"(?s)Left\(Role\).*Acme_Beside.*Right\(ResultRole\).*Acme_Rack", "instance", "shrub", 'Acme_Shelf.Name="a"')
        self.fails(r"CIM_ERR_ALREADY_EXISTS", "instance", "create", "Acme_Shelf", "-p", "Name=c", namespace=shelf)
        here(r"(?s).*", "instance", "delete", 'Acme_Shelf.Name="c"')
        self.fails(r"CIM_ERR_NOT_FOUND", "instance", "get", 'Acme_Shelf.Name="c"', namespace=shelf)
        self.fails(r"does not have a method Fill", "class", "invokemethod", "Acme_Shelf", "Fill", namespace=shelf)
        here(r"(?s).*", "class", "delete", "Acme_Beside", "--include-instances")
        here(r"(?s).*", "class", "delete", "Acme_Rack", "--include-instances")
        self.fails(r"instances", "class", "delete", "Acme_Shelf", namespace=shelf)
        here(r"(?s).*", "class", "delete", "Acme_Shelf", "--include-instances")
        here(r"(?s).*", "qualifier", "delete", "Association")

    def test_a_job_is_started_and_looked_at(self):
        said = self.cli(
            "instance", "invokemethod", "Cimwright_DemoService.?", "StartJob", "-p", "Name=by hand", "-p", "Steps=1",
            "-p", "DurationMilliseconds=0", "-p", "Ending=complete", "-p", "Bytes=1000", namespace=V2,
        )  # fmt: skip
        self.assertIn("ReturnValue=4096", said)
        job = re.search(r'InstanceID=\\?"([^"\\]+)', said).group(1)
        ada = connect(V2)
        self.addCleanup(ada.close)
        path = pywbem.CIMInstanceName("Msvm_ConcreteJob", {"InstanceID": job}, namespace=V2)
        wait_until(lambda: ada.GetInstance(path)["JobState"] in ENDED, "the end of the job")
        said = self.cli("instance", "get", f'Msvm_ConcreteJob.InstanceID="{job}"', namespace=V2, options=("-o", "mof"))
        self.assertRegex(said, r"JobState = 7;")
        said = self.cli(
            "instance", "invokemethod", f'Msvm_ConcreteJob.InstanceID="{job}"', "RequestStateChange", "-p",
            "RequestedState=4", namespace=V2,
        )  # fmt: skip
        self.assertRegex(said, r"ReturnValue=\d+")

    # ---- statistics

    def test_statistics(self):
        self.says(r"GetClass +1 +0 +[\d.]+ +[\d.]*[1-9]", script="class get CIM_Job\nstatistics show\n")
        said = self.cli(script="class get CIM_Job\nstatistics reset\nstatistics show\n")
        self.assertNotRegex(said.split("statistics reset")[-1], r"GetClass +1")

        self.addCleanup(self.run_it, "statistics", "server-off")
        self.fails(r"statistics off", "statistics", "server-show")
        self.says(r"set to on", "statistics", "server-on")
        self.says(r"already on", "statistics", "server-on")
        self.says(r"server statistics gathering +on", "statistics", "status")
        for _ in range(3):
            self.cli("qualifier", "get", "Key")
        said = self.cli("statistics", "server-show")
        row = re.search(r"GetQualifier +(\d+) +([\d.]+) +([\d.]+) +(\d+) +(\d+)", said)
        self.assertIsNotNone(row, said)
        count, took, in_providers, request, response = row.groups()
        self.assertEqual(int(count), 3)
        self.assertGreater(float(took), 0)
        self.assertEqual(float(in_providers), 0, "no provider has to do with qualifiers")
        self.assertGreater(int(request), 300)
        self.assertGreater(int(response), 300)
        row = re.search(r"EnumerateInstances +\d+ +([\d.]+) +([\d.]+)", said)
        self.assertGreater(float(row.group(2)), 0, said)
        self.says(r"set to off", "statistics", "server-off")
        self.fails(r"statistics off", "statistics", "server-show")

    def test_statistics_are_for_administrators_to_switch(self):
        manager = connect(INTEROP).EnumerateInstances("CIM_ObjectManager")[0]
        manager["GatherStatisticalData"] = True
        for user in ("olga", "rita"):
            with self.assertRaises(pywbem.CIMError) as caught:
                connect(INTEROP, user).ModifyInstance(manager, PropertyList=["GatherStatisticalData"])
            self.assertEqual(caught.exception.status_code, pywbem.CIM_ERR_ACCESS_DENIED)
        manager["ElementName"] = "something else"
        with self.assertRaises(pywbem.CIMError) as caught:
            connect(INTEROP).ModifyInstance(manager, PropertyList=["ElementName"])
        self.assertEqual(caught.exception.status_code, pywbem.CIM_ERR_NOT_SUPPORTED)

    # ---- indications

    def test_subscriptions(self):
        for owned in ("--owned", "--permanent"):
            with self.subTest(owned):
                name = "cli" if owned == "--owned" else "cli-permanent"
                self.cli("subscription", "add-destination", name, "--listener-url", "http://127.0.0.1:5990", owned)
                self.cli(
                    "subscription", "add-filter", name, "--query", "SELECT * FROM CIM_InstCreation",
                    "--query-language", "WQL", "--source-namespaces", V2, owned,
                )  # fmt: skip
                self.cli("subscription", "add-subscription", name, name, owned)
                self.says(name, "subscription", "list-destinations", "--names-only")
                self.says(r"(?s)SELECT.*CIM_InstCreation", "subscription", "list-filters", "--type", owned[2:])
                self.says(name, "subscription", "list-subscriptions", "--detail")
                self.says(r"subscriptions \|", "subscription", "list", "--summary")
                self.fails(r"(?i)referenc|subscri", "subscription", "remove-filter", name, owned)
                self.cli("subscription", "remove-subscription", name, name)
                self.cli("subscription", "remove-filter", name, owned)
                self.cli("subscription", "remove-destination", name, owned)
                self.assertNotIn(name, self.cli("subscription", "list-destinations", "--names-only"))
        self.cli("subscription", "remove-server")
