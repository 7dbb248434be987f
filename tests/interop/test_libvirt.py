"""The exchange of libvirt's `hyperv://` driver, replayed.

The driver builds its messages with openwsman's client library and reads answers with XPath expressions whose prefixes are literal.
So do these tests: messages are texts, and answers are looked at as texts.
"""

import base64
import http.client
import os
import re
import time
import urllib.parse
import uuid
import xml.sax.saxutils

from harness import DONE, HTTP, MIB, PATIENCE, V2, Case, wait_until

WMI = f"http://schemas.microsoft.com/wbem/wsman/1/wmi/{V2}/"
WSEN = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
POLL_SECONDS = 0.1
# What the driver takes for the end of a job, and for a failure.
COMPLETED, EXCEPTION, FAILED = 7, 10, (8, 9, 10, 32768)


class LibvirtExchange(Case):
    """One connection, as the driver has it."""

    namespace = V2

    def setUp(self):
        super().setUp()
        address = urllib.parse.urlsplit(HTTP)
        self.http = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
        self.addCleanup(self.http.close)
        user = f"ada:{os.environ['INTEROP_PASSWORD_ADA']}".encode()
        self.credentials = "Basic " + base64.b64encode(user).decode()

    def send(self, action, resource, body="", selectors=(), credentials=True, path="/wsman"):
        """One message; gives status and text of the answer."""
        message_id = f"uuid:{uuid.uuid4()}"
        chosen = "".join(f'<wsman:Selector Name="{n}">{v}</wsman:Selector>' for n, v in selectors)
        envelope = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
            ' xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
            ' xmlns:wsman="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
            f' xmlns:wsen="{WSEN}"><s:Header>'
            f'<wsa:Action s:mustUnderstand="true">{action}</wsa:Action>'
            f'<wsa:To s:mustUnderstand="true">{HTTP}/wsman</wsa:To>'
            f'<wsman:ResourceURI s:mustUnderstand="true">{resource}</wsman:ResourceURI>'
            f'<wsa:MessageID s:mustUnderstand="true">{message_id}</wsa:MessageID>'
            f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>"
            f"{'<wsman:SelectorSet>' + chosen + '</wsman:SelectorSet>' if chosen else ''}"
            f"</s:Header><s:Body>{body}</s:Body></s:Envelope>\n"
        )
        headers = {"Content-Type": "application/soap+xml;charset=UTF-8", "User-Agent": "Openwsman"}
        if credentials:
            headers["Authorization"] = self.credentials
        self.http.request("POST", path, envelope.encode(), headers)
        response = self.http.getresponse()
        text = response.read().decode()
        if response.status == 200:
            self.assertIn(f"<a:RelatesTo>{message_id}</a:RelatesTo>", text)
        return response.status, text

    def ask(self, *arguments, **named):
        status, text = self.send(*arguments, **named)
        self.assertEqual(status, 200, text)
        return text

    def query(self, name, text):
        """hypervEnumAndPull: Enumerate on all classes, Pull on the one class until nothing comes."""
        quoted = xml.sax.saxutils.escape(text)
        answer = self.ask(
            f"{WSEN}/Enumerate", f"{WMI}*",
            f'<wsen:Enumerate><wsman:Filter Dialect="{WQL}">{quoted}</wsman:Filter></wsen:Enumerate>',
        )
        found = []
        while (context := re.search("<n:EnumerationContext>([^<]+)</n:EnumerationContext>", answer)) is not None:
            context = context[1]
            answer = self.ask(
                f"{WSEN}/Pull", f"{WMI}{name}",
                f"<wsen:Pull><wsen:EnumerationContext>{context}</wsen:EnumerationContext></wsen:Pull>",
            )
            found += re.findall(f"<p:{name} .*?</p:{name}>", answer, re.DOTALL)
        self.assertIn("<n:EndOfSequence/>", answer)
        for item in found:
            # Items are read only in exactly this namespace.
            self.assertTrue(item.startswith(f'<p:{name} xmlns:p="{WMI}{name}"'), item[:200])
        return found

    def invoke(self, name, selectors, method, parameters):
        """hypervInvokeMethod: gives the return value, and the InstanceID of the job if there is one."""
        uri = f"{WMI}{name}"
        body = f'<p:{method}_INPUT xmlns:p="{uri}">{parameters}</p:{method}_INPUT>'
        answer = self.ask(f"{uri}/{method}", uri, body, selectors)
        output = re.search(f"<s:Body><p:{method}_OUTPUT[ >].*</p:{method}_OUTPUT></s:Body>", answer, re.DOTALL)
        self.assertIsNotNone(output, answer)
        for prefix in "saw":
            self.assertRegex(answer, f"<s:Envelope[^>]* xmlns:{prefix}=")
        value = int(re.search("<p:ReturnValue>([0-9]+)</p:ReturnValue>", output[0])[1])
        job = re.search(
            "<p:Job>.*<a:ReferenceParameters>.*<w:SelectorSet>.*"
            '<w:Selector Name="InstanceID">([^<]+)</w:Selector>.*</w:SelectorSet></a:ReferenceParameters></p:Job>',
            output[0],
        )
        return value, job and job[1]

    def wait_for_job(self, name, instance_id):
        """The driver's loop: asks every 100 ms; the last item it saw."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            (item,) = self.query(name, f"select * from {name} WHERE InstanceID = '{instance_id}'")
            state = int(re.search("<p:JobState>([0-9]+)</p:JobState>", item)[1])
            if state == COMPLETED or state in FAILED:
                return state, item
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"still not at its end: {instance_id}")

    def epr(self, name, cls, selectors):
        """hypervSerializeEprParam."""
        chosen = "".join(f'<w:Selector Name="{n}">{v}</w:Selector>' for n, v in selectors)
        return (
            f'<p:{name} xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
            ' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">'
            f"<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters><w:ResourceURI>{WMI}{cls}</w:ResourceURI>"
            f"<w:SelectorSet>{chosen}</w:SelectorSet></a:ReferenceParameters></p:{name}>"
        )

    def embedded(self, name, cls, values):
        """hypervSerializeEmbeddedParam: CIM-XML in a CDATA section, every property a string."""
        shown = "".join(
            f'<PROPERTY NAME="{n}" TYPE="string"><VALUE>{xml.sax.saxutils.escape(v)}</VALUE></PROPERTY>'
            for n, v in values.items()
        )
        return f'<p:{name}><![CDATA[<INSTANCE CLASSNAME="{cls}">{shown}</INSTANCE>]]></p:{name}>'

    def test_a_request_without_credentials_is_challenged(self):
        status, _ = self.send(f"{WSEN}/Enumerate", f"{WMI}*", "<wsen:Enumerate/>", credentials=False)
        self.assertEqual(status, 401)
        # On the same connection, now with them.
        self.assertEqual(len(self.query("Cimwright_DemoService", "select * from Cimwright_DemoService")), 1)

    def test_a_method_with_a_reference(self):
        service = "Cimwright_DemoService"
        keys = [("CreationClassName", service)]
        parameters = "<p:Name>x</p:Name><p:Steps>1</p:Steps><p:DurationMilliseconds>0</p:DurationMilliseconds>"
        value, job = self.invoke(service, keys, "StartJob", f"{parameters}<p:Ending>wait</p:Ending>")
        self.assertEqual(value, 4096)
        (item,) = self.query("Msvm_ConcreteJob", f"select * from Msvm_ConcreteJob WHERE InstanceID = '{job}'")
        # The driver refuses a job that lacks one of them.
        for name, declared in self.ada.GetClass("Msvm_ConcreteJob", LocalOnly=False).properties.items():
            if not declared.is_array:
                self.assertRegex(item, f"<p:{name}[ />]")
        reference = self.epr("Job", "Msvm_ConcreteJob", [("InstanceID", job)])
        finish = f"{reference}<p:Ending>complete</p:Ending>"
        wait_until(lambda: self.invoke(service, keys, "FinishJob", finish)[0] == DONE, "the job to wait")
        self.assertEqual(self.wait_for_job("Msvm_ConcreteJob", job)[0], COMPLETED)

    def test_a_job_that_fails_is_seen_by_the_poll(self):
        service = "Cimwright_DemoService"
        keys = [("CreationClassName", service)]
        parameters = "<p:Name>x</p:Name><p:Steps>3</p:Steps><p:DurationMilliseconds>300</p:DurationMilliseconds>"
        value, job = self.invoke(service, keys, "StartJob", f"{parameters}<p:Ending>fail</p:Ending>")
        self.assertEqual(value, 4096)
        state, item = self.wait_for_job("Msvm_ConcreteJob", job)
        self.assertEqual(state, EXCEPTION)
        self.assertRegex(item, "<p:ErrorDescription>[^<]+</p:ErrorDescription>")
        self.assertRegex(item, "<p:ErrorCode>[1-9][0-9]*</p:ErrorCode>")

    def test_a_path_with_a_slash_at_its_end(self):
        body = f'<wsen:Enumerate><wsman:Filter Dialect="{WQL}">SELECT * FROM Msvm_None</wsman:Filter></wsen:Enumerate>'
        for path in ("/wsman", "/wsman/"):
            status, text = self.send(f"{WSEN}/Enumerate", f"{WMI}*", body, path=path)
            # It reads faults under these two only.
            self.assertIn(status, (400, 500))
            self.assertIn("<s:Fault>", text)

    def test_a_method_with_an_embedded_instance(self):
        service = "Msvm_ImageManagementService"
        image = self.directory / "a & b.vhdx"
        setting = self.embedded(
            "VirtualDiskSettingData", "Msvm_VirtualHardDiskSettingData",
            {"Type": "3", "Format": "3", "Path": str(image), "MaxInternalSize": str(8 * MIB)},
        )
        value, job = self.invoke(service, [("CreationClassName", service)], "CreateVirtualHardDisk", setting)
        self.assertEqual(value, 4096)
        state, item = self.wait_for_job("Msvm_StorageJob", job)
        self.assertEqual(state, COMPLETED, item)
        self.assertTrue(image.exists())

    def test_a_failure_says_why(self):
        service = "Msvm_ImageManagementService"
        setting = self.embedded(
            "VirtualDiskSettingData", "Msvm_VirtualHardDiskSettingData",
            {"Type": "3", "Format": "3", "Path": "/nowhere/a.vhdx", "MaxInternalSize": str(MIB)},
        )
        uri = f"{WMI}{service}"
        body = f'<p:CreateVirtualHardDisk_INPUT xmlns:p="{uri}">{setting}</p:CreateVirtualHardDisk_INPUT>'
        status, text = self.send(f"{uri}/CreateVirtualHardDisk", uri, body, [("CreationClassName", service)])
        if status == 200:
            value = int(re.search("<p:ReturnValue>([0-9]+)</p:ReturnValue>", text)[1])
            self.assertNotIn(value, (0, 4096))
        else:
            self.assertIn("<s:Fault>", text)
            self.assertRegex(text, "<s:Text xml:lang=\"en-US\">[^<]+</s:Text>")
