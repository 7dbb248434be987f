"""Two computers for Storage Replica: servers of their own on the loopback interface that know each other by name."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pywbem

from harness import ENDED, PATIENCE, Job, connect, qemu_img, wait_until

NAMESPACE = "root/microsoft/windows/storagereplica"
PASSWORD = "the password of sara: 5€"
#: The program that the server under test is.
PROGRAM = os.readlink(f"/proc/{os.environ['INTEROP_SERVER_PID']}/exe").removesuffix(" (deleted)")
USERS = {"sara": "administrator", "oleg": "operator", "rosa": "reader"}

CONFIGURATION = """
[replication]
listen = "127.0.0.1"
plain_loopback = true
runtime_directory = "{place}"
"""


class Computer:
    """A server with a storage root."""

    def __init__(self, name, place, root=None):
        self.name = name
        self.place = place
        self.state = place / "state"
        self.root = root or place / "root"
        for directory in (self.state, self.root):
            directory.mkdir(parents=True, exist_ok=True)
        self.process = None
        self.url = None
        for user, role in USERS.items():
            self.run("user", "add", user, "--role", role, "--password-stdin", said=PASSWORD)
        (place / "config.toml").write_text(CONFIGURATION.format(place=place))

    def run(self, *words, said=""):
        """Runs a command about the state of this computer."""
        command = [PROGRAM, *words, "--state", str(self.state)]
        done = subprocess.run(command, input=said + "\n", capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def start(self):
        """Starts the server and waits until it listens. After the first time it listens where it did."""
        ports = self.place / "ports"
        ports.unlink(missing_ok=True)
        address = (self.url or "http://127.0.0.1:0").removeprefix("http://")
        secure = (self.secure_url if self.url else "https://127.0.0.1:0").removeprefix("https://")
        command = [PROGRAM, "serve", "--config", str(self.place / "config.toml"), "--state", str(self.state)]
        command += ["--http", address, "--https", secure, "--port-file", str(ports)]
        command += ["--storage-root", str(self.root), "--computer-name", self.name]
        with open(self.place / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def listens():
            assert self.process.poll() is None, (self.place / "log").read_text()[-4000:]
            lines = ports.read_text() if ports.exists() else ""
            return dict(line.split("=", 1) for line in lines.splitlines()) if "unix=" in lines else None

        told = wait_until(listens, f"{self.name} to listen")
        self.url, self.secure_url = f"http://{told['http']}", f"https://{told['https']}"
        return self

    def stop(self, how=signal.SIGTERM):
        """Ends the server; with SIGKILL, as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    def knows(self, name, url, *more, user="sara"):
        """Tells this computer how to reach another."""
        words = ("computer", "add", name, "--url", url, "--user", user, "--password-stdin", "--replace")
        self.run(*words, *map(str, more), said=PASSWORD)

    def connection(self, user="sara"):
        """A pywbem connection."""
        return connect(NAMESPACE, user, self.url, PASSWORD)

    def daemons(self):
        """The process numbers of its replication engines."""
        found = []
        for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = line.read_bytes()
                if b"qemu-storage-daemon" in words and f"{self.place}/".encode() in words:
                    found.append(int(line.parent.name))
        return found

    def volume(self, name, size, content=None):
        """Makes a volume, empty or with content that fills it."""
        path = self.root / name
        with open(path, "wb") as file:
            if content is not None:
                block = content * ((1 << 20) // len(content))
                for number in range(size >> 20):
                    file.write(number.to_bytes(8, "big") + block[8:])
            file.truncate(size)
        return str(path)


class Replication:
    """MSFT_WvrAdminTasks of a computer, as a client of pywbem sees it."""

    def __init__(self, computer, user="sara"):
        self.computer = computer
        self.connection = computer.connection(user)

    def call(self, method, **parameters):
        """Calls a method on the class; gives the return code and the output parameters."""
        given = [(name, value) for name, value in parameters.items() if value is not None]
        target = pywbem.CIMClassName("MSFT_WvrAdminTasks", namespace=NAMESPACE)
        return self.connection.InvokeMethod(method, target, given)

    def done(self, method, **parameters):
        """Calls a method that has to answer 0, and gives the output."""
        value, output = self.call(method, **parameters)
        assert value == 0, f"{method} answered {value}: {self.newest().error()}"
        return output

    def refused(self, method, **parameters):
        """Calls a method that has to fail; gives the return code and the CIM_Error of the job that it leaves."""
        before = set(self.job_ids())
        value, _ = self.call(method, **parameters)
        new = [path for path in self.jobs() if path["InstanceID"] not in before]
        assert value != 0 and len(new) == 1, f"{method} answered {value} and left {new}"
        job = SrJob(self.connection, new[0])
        # What the answer did not wait for may go on; in the end it must have failed.
        job.wait()
        return value, job.error()

    def jobs(self):
        """The paths of the jobs that somebody asked for. The server makes more: a copy that begins by itself has one too."""
        jobs = self.connection.EnumerateInstances("MSFT_SrJob", PropertyList=["Owner"], LocalOnly=False)
        return [job.path for job in jobs if job["Owner"] in USERS]

    def job_ids(self):
        """Their identifiers."""
        return [path["InstanceID"] for path in self.jobs()]

    def newest(self):
        """The newest job: identifiers ascend with time."""
        return SrJob(self.connection, max(self.jobs(), key=lambda path: path["InstanceID"]))

    def new_group(self, name, *volumes, size=1 << 21, **more):
        """Makes a group of volumes with a log of this size."""
        log = str(self.computer.root / f"{name}.log")
        return self.done(
            "NewSrGroup", Name=name, VolumeName=list(volumes), LogVolumeName=log,
            LogSizeInBytes=pywbem.Uint64(size), **more,
        )

    def group(self, name):
        """The group as it is now."""
        return self.done("GetGroup", Name=name)["Output"][0]

    def replica(self):
        """The only volume as it is now."""
        return self.connection.EnumerateInstances("MSFT_WvrReplica")[0]

    def until_status(self, *wanted):
        """Waits until the only volume has one of these states of replication."""
        wait_until(lambda: self.replica()["ReplicationStatus"] in wanted, f"status {wanted}: {self.replica()}")

    def export(self):
        """Where applications reach the volume of a source."""

        def found():
            points = self.connection.EnumerateInstances("Cimwright_ReplicaEndpoint")
            return next((p["ApplicationUri"] for p in points if p["ApplicationUri"]), None)

        return wait_until(found, "the export of the source")


class SrJob(Job):
    """An MSFT_SrJob, whose GetError answers a CIM_Error as an embedded instance."""

    def error(self):
        """What GetError answers: an instance, or None."""
        value, output = self.connection.InvokeMethod("GetError", self.path)
        assert value == 0, f"GetError returned {value}"
        error = output.get("Error")
        assert error is None or isinstance(error, pywbem.CIMInstance), f"no embedded instance: {error!r}"
        return error

    def kill(self, **parameters):
        """KillJob; gives the return code."""
        return self.connection.InvokeMethod("KillJob", self.path, list(parameters.items()))[0]

    def ended(self):
        """Whether it has."""
        return self.state in ENDED


@contextlib.contextmanager
def computers(*names, root=None):
    """Computers that know each other. The last one may have a storage root of its own."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="sr-", dir=os.environ["INTEROP_SCRATCH"]))
    started = []
    try:
        for name in names:
            started.append(Computer(name, place / name, root if name == names[-1] else None).start())
        for one in started:
            for other in started:
                if one is not other:
                    one.knows(other.name, other.url)
        yield started
    finally:
        for one in started:
            one.stop()
        shutil.rmtree(place)


def write(uri, offset, size, pattern):
    """Writes through the export of a source, as an application does."""
    command = ["qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {size}", "-c", "flush", uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"wrote {size}" in done.stdout, done.stdout + done.stderr


def same(first, second):
    """Whether two volumes have the same content."""
    return qemu_img("compare", "-f", "raw", "-F", "raw", "-U", first, second).returncode == 0
