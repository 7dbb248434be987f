"""What the tests share: the server they talk to, images to work on, and a job as a client sees it."""

import contextlib
import os
import pathlib
import random
import subprocess
import time
import unittest

import pywbem
from lxml import etree
from pywbem import _tupleparse, _tupletree

import end2end

V1 = "root/virtualization"
V2 = "root/virtualization/v2"

# Return values of the methods that may start a job.
DONE, STARTED, INVALID_STATE = 0, 4096, 32775
# JobState.
NEW, STARTING, RUNNING, SUSPENDED, SHUTTING_DOWN = 2, 3, 4, 5, 6
COMPLETED, TERMINATED, KILLED, EXCEPTION = 7, 8, 9, 10
ENDED = (COMPLETED, TERMINATED, KILLED, EXCEPTION)
# RequestedState.
START, SUSPEND, TERMINATE, KILL, SERVICE = 2, 3, 4, 5, 6
# Disk types and formats.
FIXED, DYNAMIC = 2, 3
VHD, VHDX = 2, 3

HTTP = os.environ["INTEROP_HTTP"]
HTTPS = os.environ["INTEROP_HTTPS"]
ROOT = pathlib.Path(os.environ["INTEROP_ROOT"])
CERTIFICATE = pathlib.Path(os.environ["INTEROP_CERTIFICATE"])
#: How a full disk is made: ("tmpfs", directory of a small file system) or ("limit", largest size of a file).
FULL_KIND, FULL_VALUE = os.environ["INTEROP_FULL"].split(":", 1)

#: The grammar of CIM-XML, from pywbem's own tests.
DTD = etree.DTD(str(end2end.fetch() / "tests/dtd/DSP0203_2.4.0.dtd"))

MIB = 1 << 20

#: How long anything may take that should happen soon. Only a failing test waits that long.
PATIENCE = 60.0


def assert_valid(text):
    """Every message has to follow the grammar of DSP0203."""
    tree = etree.fromstring(text, etree.XMLParser(huge_tree=True, resolve_entities=False))
    if not DTD.validate(tree):
        raise AssertionError(f"not valid by DSP0203: {DTD.error_log.filter_from_errors()[0]}\n{text[:2000]!r}")


class Connection(pywbem.WBEMConnection):
    """A connection of pywbem that looks at every answer as it came, errors included."""

    #: How many answers were looked at.
    looked_at = 0

    def _imethodcall(self, *arguments, **named):
        return self._looked_at(super()._imethodcall, arguments, named)

    def _methodcall(self, *arguments, **named):
        return self._looked_at(super()._methodcall, arguments, named)

    def _looked_at(self, call, arguments, named):
        self._last_raw_reply = None
        try:
            return call(*arguments, **named)
        finally:
            if self.last_raw_reply is not None:
                reply = self.last_raw_reply
                self.looked_at += 1
                assert_valid(reply if isinstance(reply, bytes) else reply.encode("utf-8"))


def connect(namespace, user="ada", url=HTTP, password=None, **options):
    """A pywbem connection as this user."""
    if password is None:
        password = os.environ[f"INTEROP_PASSWORD_{user.upper()}"]
    options.setdefault("timeout", 120)
    return Connection(url, (user, password), default_namespace=namespace, **options)


def wait_until(question, what, patience=PATIENCE):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still not after {patience} s: {what}")
        time.sleep(0.01)


def parse_instance(text):
    """The instance that a string of CIM-XML holds, read by the parser that pywbem itself uses for answers."""
    tree = _tupletree.xml_to_tupletree_sax(text.encode("utf-8"), "an embedded instance")
    return _tupleparse.TupleParser().parse_instance(tree)


def qemu_img(*arguments):
    """Runs qemu-img and gives its result."""
    return subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False)


def make(path, *arguments):
    """Runs qemu-img to make `path` and insists that it works."""
    result = qemu_img(*arguments)
    assert result.returncode == 0, result.stderr
    return path


def random_image(path, size, holes=False):
    """A raw image of data that is no use compressing. With holes, every other MiB is left out."""
    block = random.Random(size).randbytes(4 * MIB)
    with open(path, "wb") as file:
        written = 0
        while written < size:
            # A changing head keeps the blocks from being the same.
            part = written.to_bytes(8, "big") + block[8 : min(len(block), size - written)]
            if holes:
                part = part[:MIB]
            file.write(part)
            written += len(block)
            file.seek(min(written, size))
        file.truncate(size)
    return path


def overwrite(path, offset, data):
    """Damages a file; a negative offset counts from its end."""
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(data)
    return path


class Job:
    """A job as a client sees it."""

    def __init__(self, connection, path):
        self.connection = connection
        self.path = path

    def get(self, *properties):
        """The instance, or only some of its properties."""
        return self.connection.GetInstance(self.path, PropertyList=list(properties) or None, LocalOnly=False)

    def value(self, name):
        """One property."""
        return self.get(name)[name]

    @property
    def state(self):
        """JobState."""
        return self.value("JobState")

    def wait(self, patience=PATIENCE):
        """Waits until the job has ended and gives the instance."""
        wait_until(lambda: self.state in ENDED, f"the end of {self.path}", patience)
        return self.get()

    def wait_for(self, state):
        """Waits until the job is in this state; another final state is a failure."""

        def reached():
            now = self.state
            if now != state and now in ENDED:
                raise AssertionError(f"the job ended in state {now}: {self.get()['ErrorDescription']}")
            return now == state

        wait_until(reached, f"state {state} of {self.path}")

    def wait_for_percent(self, percent):
        """Waits until the job runs and has done this share of its work; its end is a failure."""

        def far_enough():
            now = self.get("JobState", "PercentComplete")
            if now["JobState"] in ENDED:
                raise AssertionError(f"the job ended too early, in state {now['JobState']}")
            return now["JobState"] == RUNNING and now["PercentComplete"] >= percent

        wait_until(far_enough, f"{percent} % of {self.path}")

    def request(self, state, timeout=None):
        """RequestStateChange; gives the return value."""
        parameters = [("RequestedState", pywbem.Uint16(state))]
        if timeout is not None:
            parameters.append(("TimeoutPeriod", pywbem.CIMDateTime(timeout)))
        return self.connection.InvokeMethod("RequestStateChange", self.path, parameters)[0]

    def error(self):
        """What GetError answers: an instance, or None. The method itself must succeed."""
        value, output = self.connection.InvokeMethod("GetError", self.path)
        assert value == 0, f"GetError returned {value}"
        text = output.get("Error")
        return None if text is None else parse_instance(text)

    def errors(self):
        """What GetErrorEx answers: a list of instances, or None."""
        value, output = self.connection.InvokeMethod("GetErrorEx", self.path)
        assert value == 0, f"GetErrorEx returned {value}"
        texts = output.get("Errors")
        return None if texts is None else [parse_instance(text) for text in texts]

    def error_texts(self):
        """The strings of GetErrorEx as they came."""
        return self.connection.InvokeMethod("GetErrorEx", self.path)[1]["Errors"]


class Case(unittest.TestCase):
    """A test with connections and a directory of its own in the storage root."""

    namespace = V2
    longMessage = True

    def setUp(self):
        self.ada = self.connection("ada")
        self.directory = ROOT / self.id().rsplit(".", 2)[-2] / self._testMethodName
        self.directory.mkdir(parents=True)
        self.addCleanup(self.remove_directory)

    def remove_directory(self):
        """Images are large: they go as soon as the test is over."""
        for path in sorted(self.directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        self.directory.rmdir()

    def connection(self, user, namespace=None, url=HTTP, **options):
        """A connection that is closed after the test."""
        connection = connect(namespace or self.namespace, user, url, **options)
        self.addCleanup(connection.close)
        return connection

    def service(self, connection, name="Msvm_ImageManagementService"):
        """The path of the one instance of a service."""
        names = connection.EnumerateInstanceNames(name)
        self.assertEqual(len(names), 1, name)
        return names[0]

    def call(self, connection, method, parameters, service="Msvm_ImageManagementService"):
        """Calls a method of a service; gives the return value and the output parameters."""
        return connection.InvokeMethod(method, self.service(connection, service), parameters)

    def start(self, connection, method, parameters, service="Msvm_ImageManagementService"):
        """Calls a method that has to start a job, and gives the job."""
        value, output = self.call(connection, method, parameters, service)
        self.assertEqual(value, STARTED, f"{method} {parameters}")
        self.assertIsInstance(output["Job"], pywbem.CIMInstanceName)
        return Job(connection, output["Job"])

    def demo(self, connection, ending="wait", steps=1, milliseconds=0, name="a demonstration"):
        """Starts a job that does nothing and ends as it is told."""
        parameters = [
            ("Name", name),
            ("Steps", pywbem.Uint32(steps)),
            ("DurationMilliseconds", pywbem.Uint64(milliseconds)),
            ("Ending", ending),
            ("Bytes", pywbem.Uint64(1000)),
        ]
        return self.start(connection, "StartJob", parameters, "Cimwright_DemoService")

    def finish(self, job, ending="complete"):
        """Tells a waiting demonstration job how to end, as soon as it has come to its wait."""
        parameters = [("Job", job.path), ("Ending", ending)]

        def told():
            value, _ = self.call(job.connection, "FinishJob", parameters, "Cimwright_DemoService")
            self.assertIn(value, (DONE, INVALID_STATE))
            return value == DONE

        wait_until(told, f"{job.path} to wait for its ending")

    def convert(self, connection, source, target, kind=DYNAMIC):
        """Starts a conversion in the way of the namespace; the format follows from the extension."""
        parameters = self.convert_parameters(source, target, kind)
        return self.start(connection, "ConvertVirtualHardDisk", parameters)

    def convert_parameters(self, source, target, kind=DYNAMIC):
        """The parameters of ConvertVirtualHardDisk in this namespace."""
        if self.namespace == V1:
            return [
                ("SourcePath", str(source)),
                ("DestinationPath", str(target)),
                ("Type", pywbem.Uint16(kind)),
            ]
        return [
            ("SourcePath", str(source)),
            ("VirtualDiskSettingData", settings(target, kind).tocimxmlstr()),
        ]

    def expect_status(self, code, call, *arguments, **named):
        """The call has to fail with this CIM status."""
        with self.assertRaises(pywbem.CIMError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.status_code, code, caught.exception)
        self.assertTrue(caught.exception.status_description, "an error without a word")
        return caught.exception

    def assert_same_content(self, first, first_format, second, second_format):
        """Lets the engine compare two images."""
        result = qemu_img("compare", "-f", first_format, "-F", second_format, first, second)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_only(self, *names):
        """There is nothing in the directory of the test but these files: above all, no leftover of a job."""
        wanted = sorted(names)
        found = sorted(str(p.relative_to(self.directory)) for p in self.directory.rglob("*"))
        self.assertEqual(found, wanted)


def settings(path, kind=DYNAMIC, size=None, disk_format="by extension", **more):
    """An instance of Msvm_VirtualHardDiskSettingData."""
    if disk_format == "by extension":
        disk_format = {".vhd": VHD, ".vhdx": VHDX}.get(pathlib.Path(path).suffix)
    values = {"Path": str(path), "Type": pywbem.Uint16(kind)}
    if disk_format is not None:
        values["Format"] = pywbem.Uint16(disk_format)
    if size is not None:
        values["MaxInternalSize"] = pywbem.Uint64(size)
    values["BlockSize"] = pywbem.Uint32(0)
    values["LogicalSectorSize"] = pywbem.Uint32(0)
    values.update(more)
    return pywbem.CIMInstance("Msvm_VirtualHardDiskSettingData", values)


@contextlib.contextmanager
def held_open(image, disk_format):
    """Keeps another program writing to the image, as a running virtual machine does."""
    socket = pathlib.Path(os.environ["INTEROP_SCRATCH"]) / f"{image.name}.nbd"
    program = ["qemu-nbd", "--persistent", "--format", disk_format, "--socket", str(socket), str(image)]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: socket.exists() or process.poll() is not None, "qemu-nbd to open the image")
            assert process.poll() is None, process.stderr.read()
            yield
        finally:
            process.terminate()
            process.wait()


def engines():
    """The processes of the engine that the server runs now."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = status.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue  # It ended while it was looked at.
        if name == "qemu-img" and rest.split()[1] == os.environ["INTEROP_SERVER_PID"]:
            found.append(int(status.parent.name))
    return found
