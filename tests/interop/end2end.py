"""Runs pywbem's own end-to-end suite against the server.

The suite is the tests/end2endtest of the source distribution on PyPI, of the version that requirements.txt pins. It is
fetched when it is needed, kept under the target directory, and run as it is; only the files that say which server to
test and with which password are ours. What may fail or be skipped stands in ACCEPTED with the reason, and nothing else
may: README.md has the list for people.
"""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree

#: What the suite may not do, by a pattern of the name of the test and the outcome, and why that is acceptable.
ACCEPTED = [
    (r"test_profile_snia_smis", "skipped", "SMI-S is not implemented, and the server does not say it is"),
    (r"test_profile_generic::test_get_central_instances", "skipped", "a profile that the server does not advertise"),
]

#: What the server can do, in the words of the suite.
CAPABILITIES = ["interop", "namespaces", "profiles", "snia-server", "smis"]


def fetch():
    """The directory of the source distribution."""
    version = importlib.metadata.version("pywbem")
    home = pathlib.Path(os.environ["INTEROP_CACHE"])
    source = home / f"pywbem-{version}"
    if source.is_dir():
        return source
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        download += ["--no-binary", ":all:", "--dest", scratch, f"pywbem=={version}"]
        subprocess.run(download, check=True)
        (archive,) = pathlib.Path(scratch).glob("*.tar.gz")
        # Python has filters since 3.11.4, and Debian 12 has 3.11.2.
        filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, **filtered)
        (pathlib.Path(scratch) / source.name).rename(source)
    return source


def write_files(directory):
    """The server file and the vault file."""
    servers, secrets = [], []
    for name, variable in [("http", "INTEROP_HTTP"), ("https", "INTEROP_HTTPS")]:
        servers.append(
            f"  cimwright_{name}:\n"
            f"    description: Cimwright over {name.upper()}\n"
            f"    user_defined:\n"
            f"      url: {os.environ[variable]}\n"
            f"      default_namespace: root/interop\n"
            f"      capabilities: [{', '.join(CAPABILITIES)}]\n"
        )
        secrets.append(
            f"  cimwright_{name}:\n"
            f"    user: ada\n"
            f"    password: \"{os.environ['INTEROP_PASSWORD_ADA']}\"\n"
            f"    ca_certs: \"{os.environ['INTEROP_CERTIFICATE']}\"\n"
        )
    group = (
        "vault_file: vault.yml\ndefault: all\nserver_groups:\n  all:\n    description: Cimwright\n"
        "    members: [cimwright_http, cimwright_https]\nservers:\n"
    )
    (directory / "server.yml").write_text(group + "".join(servers), encoding="utf-8")
    (directory / "vault.yml").write_text("secrets:\n" + "".join(secrets), encoding="utf-8")
    return directory / "server.yml"


def outcomes(report):
    """Name, outcome and text of every test in a report of pytest."""
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        for outcome in ("failure", "error", "skipped"):
            found = case.find(outcome)
            if found is not None:
                yield name, outcome, found.get("message", "")
                break
        else:
            yield name, "passed", ""


def accepted(name, outcome):
    """The reason why this is acceptable; None if it is not."""
    return next((why for pattern, what, why in ACCEPTED if what == outcome and re.search(pattern, name)), None)


def run():
    """Runs the suite; gives how many tests passed and how many failed."""
    source = fetch()
    with tempfile.TemporaryDirectory(dir=os.environ["INTEROP_SCRATCH"]) as scratch:
        directory = pathlib.Path(scratch)
        report = directory / "report.xml"
        command = [sys.executable, "-B", "-m", "pytest", "-q", "--tb=short", "--show-capture=no", "--no-header"]
        command += ["-p", "no:cacheprovider", "-p", "loopback", f"--junitxml={report}", f"--es-file={write_files(directory)}"]
        command += ["tests/end2endtest"]
        # pywbem is the installed one, not the one beside the tests.
        here = str(pathlib.Path(__file__).parent)
        environment = os.environ | {"TEST_INSTALLED": "1", "PYTHONPATH": here}
        done = subprocess.run(
            command, cwd=source, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if not report.exists():
            print(done.stdout)
            return 0, 1
        passed, excused, wrong = 0, {}, []
        for name, outcome, message in outcomes(report):
            if outcome == "passed":
                passed += 1
                continue
            why = accepted(name, outcome)
            if why is None:
                wrong.append(f"{outcome}: {name}: {message}")
            else:
                excused[why] = excused.get(why, 0) + 1
    if wrong:
        print(done.stdout)
    for line in wrong:
        print(f"   {line}")
    for why, count in sorted(excused.items()):
        print(f"   {count} not passed, as accepted: {why}")
    print(f"pywbem's end-to-end suite: {passed} passed, {sum(excused.values())} excused, {len(wrong)} wrong", flush=True)
    return passed, len(wrong)
