"""Messages that @device-management-toolkit/wsman-messages builds are understood: the story of a job, told by a library for Intel AMT.

The package comes from npm, unmodified. Where there is neither node nor npm, the tests say so and are skipped.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import unittest
import urllib.request
import xml.etree.ElementTree as ET

from harness import COMPLETED, DONE, ENDED, EXCEPTION, HTTP, STARTED, TERMINATE, TERMINATED, V2, Case, wait_until
from remote import N, S, W, local, properties, selectors

PACKAGE = "@device-management-toolkit/wsman-messages@5.14.1"
BASE = f"http://schemas.microsoft.com/wbem/wsman/1/wmi/{V2}/"
HERE = pathlib.Path(__file__).parent
INSTALLED = HERE.parent.parent / "target" / "interop-npm"
SERVICE = "Cimwright_DemoService"


def install():
    """Brings the package once."""
    if not (INSTALLED / "node_modules" / PACKAGE.rsplit("@", 1)[0]).is_dir():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(INSTALLED), PACKAGE]
        subprocess.run(command, check=True)


@unittest.skipUnless(shutil.which("node") and shutil.which("npm"), "there is no node or no npm here")
class MessagesStory(Case):
    """One process that builds messages, one user that sends them."""

    namespace = V2

    @classmethod
    def setUpClass(cls):
        install()

    def setUp(self):
        super().setUp()
        environment = {**os.environ, "NODE_PATH": str(INSTALLED / "node_modules")}
        self.node = subprocess.Popen(
            ["node", str(HERE / "messages.js"), BASE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )
        self.addCleanup(self.end)
        self.keys = {"name": "CreationClassName", "value": SERVICE}

    def end(self):
        self.node.stdin.close()
        self.node.stdout.close()
        self.node.wait()

    def ask(self, *call):
        """Builds a message, sends it, and gives what the body of the answer holds."""
        self.node.stdin.write(json.dumps(call) + "\n")
        self.node.stdin.flush()
        message = json.loads(self.node.stdout.readline())
        user = base64.b64encode(f"ada:{os.environ['INTEROP_PASSWORD_ADA']}".encode()).decode()
        headers = {"Authorization": f"Basic {user}", "Content-Type": "application/soap+xml; charset=utf-8"}
        request = urllib.request.Request(f"{HTTP}/wsman", message.encode(), headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            root = ET.fromstring(answer.read())
        body = root.find(f"{S}Body")
        return body[0] if len(body) else None

    def start(self, ending):
        values = {"Name": "by npm", "Steps": 1, "DurationMilliseconds": 0, "Ending": ending}
        output = properties(self.ask("invoke", SERVICE, self.keys, "StartJob", values))
        self.assertEqual(int(output["ReturnValue"]), STARTED)
        return output["Job"]

    def job(self, epr):
        key = selectors(epr)
        name = epr.find(f".//{W}ResourceURI").text.rsplit("/", 1)[-1]
        return name, {"name": "InstanceID", "value": key["InstanceID"]}

    def wait(self, epr):
        name, selector = self.job(epr)
        wait_until(lambda: int(properties(self.ask("get", name, selector))["JobState"]) in ENDED, "the end of the job")
        return int(properties(self.ask("get", name, selector))["JobState"])

    def test_enumerate_and_pull(self):
        context = self.ask("enumerate", SERVICE).findtext(f"{N}EnumerationContext")
        answer = self.ask("pull", SERVICE, context)
        self.assertEqual([local(i) for i in answer.find(f"{N}Items")], [SERVICE])
        self.assertIsNotNone(answer.find(f"{N}EndOfSequence"))

    def test_the_story_of_a_job(self):
        job = self.start("wait")
        reference = {
            "Address": "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
            "ReferenceParameters": {
                "ResourceURI": f"{BASE}Msvm_ConcreteJob",
                "SelectorSet": {"Selector": [{"_": self.job(job)[1]["value"], "$": {"Name": "InstanceID"}}]},
            },
        }

        def told():
            values = {"Job": reference, "Ending": "fail"}
            return int(properties(self.ask("invoke", SERVICE, self.keys, "FinishJob", values))["ReturnValue"]) == DONE

        wait_until(told, "the job to wait")
        self.assertEqual(self.wait(job), EXCEPTION)
        name, selector = self.job(job)
        output = properties(self.ask("invoke", name, selector, "GetError", {}))
        self.assertEqual(output["ReturnValue"], "0")
        self.assertIn('<INSTANCE CLASSNAME="Msvm_Error">', output["Error"])
        self.assertEqual(self.wait(self.start("complete")), COMPLETED)

    def test_a_job_is_cancelled(self):
        job = self.start("wait")
        name, selector = self.job(job)
        output = properties(self.ask("requestStateChange", name, selector, TERMINATE))
        self.assertIn(int(output["ReturnValue"]), (DONE, STARTED))
        self.assertEqual(self.wait(job), TERMINATED)
