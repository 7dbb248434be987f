"""Logins of several messages over WS-Management: NTLM by pyspnego, bare and negotiated, Kerberos with a KDC of MIT; and what has to be
refused."""

import base64
import contextlib
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.parse
import xml.etree.ElementTree as ET

import spnego
from pypsrp.exceptions import AuthenticationError
from pypsrp.wsman import WSMan

from computers import PROGRAM
from harness import PATIENCE, wait_until

URI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/Msvm_ImageManagementService"
ENUMERATE = "{http://schemas.xmlsoap.org/ws/2004/09/enumeration}Enumerate"
PASSWORD = "the password of nina: 5€"
REALM = "INTEROP.TEST"


class Server:
    """A server with users who may log in with NTLM, and one who may not."""

    def __init__(self, place, configuration="", https=False):
        self.state = place / "state"
        for name, more in (("nina", ["--ntlm"]), ("otto", ["--ntlm"]), ("bess", [])):
            command = [PROGRAM, "user", "add", name, "--role", "administrator", "--password-stdin", *more]
            said = PASSWORD.replace("nina", name) + "\n"
            subprocess.run([*command, "--state", str(self.state)], input=said, text=True, check=True)
        (place / "config.toml").write_text(configuration)
        (place / "root").mkdir()
        ports = place / "ports"
        command = [PROGRAM, "serve", "--config", str(place / "config.toml"), "--state", str(self.state)]
        command += ["--http", "127.0.0.1:0", "--https", "127.0.0.1:0" if https else "none"]
        command += ["--storage-root", str(place / "root")]
        with open(place / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port-file", str(ports)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def listens():
            assert self.process.poll() is None, (place / "log").read_text()[-4000:]
            lines = ports.read_text() if ports.exists() else ""
            return dict(line.split("=", 1) for line in lines.splitlines()) if "unix=" in lines else None

        addresses = wait_until(listens, "the server to listen")
        self.port = int(addresses["http"].rsplit(":", 1)[1])
        self.secure_port = int(addresses["https"].rsplit(":", 1)[1]) if https else None

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def remove(self, name):
        subprocess.run([PROGRAM, "user", "rm", name, "--state", str(self.state)], check=True)


class Logins(unittest.TestCase):
    configuration = ""
    #: Whether the server speaks TLS too.
    https = False

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(dir=os.environ["INTEROP_SCRATCH"]))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.server = Server(self.place, self.configuration, self.https)
        self.addCleanup(self.server.stop)

    def client(self, auth, password=PASSWORD, user="nina"):
        wsman = WSMan(
            "127.0.0.1", port=self.server.port, ssl=False, auth=auth, username=user, password=password,
            encryption="always", no_proxy=True,
        )
        self.addCleanup(wsman.close)
        return wsman

    @contextlib.contextmanager
    def nothing_reaches_the_broker(self):
        """What is done meanwhile must not make the server carry out any operation."""
        before = self.carried_out()
        yield
        self.assertEqual(self.carried_out(), before, "an operation was carried out")

    def carried_out(self):
        """How many operations the server has carried out, whatever came of them."""
        connection = self.connection()
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("cimwright_requests_total{"))

    def connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def post(self, connection, headers, body=b""):
        headers = {"Content-Type": "application/soap+xml;charset=UTF-8", **headers}
        connection.request("POST", "/wsman", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def log_in(self, connection, user="nina", confidential=True):
        """Logs in step by step; gives pyspnego's side of it and the last token that it sent."""
        flags = spnego.ContextReq.default
        if confidential:
            flags |= spnego.ContextReq.confidentiality
        context = spnego.client(
            user, PASSWORD.replace("nina", user), hostname="127.0.0.1", protocol="ntlm", context_req=flags
        )
        token = context.step()
        status, headers, _ = self.post(connection, negotiate(token))
        self.assertEqual(status, 401)
        token = context.step(base64.b64decode(headers["WWW-Authenticate"].removeprefix("Negotiate ")))
        status, _, body = self.post(connection, negotiate(token))
        self.assertEqual((status, body), (200, b""))
        return context, token


#: A request that does reach the broker of whoever is let in.
GET_CLASS = f"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
 xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
 xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration"><s:Header><a:To>http://127.0.0.1/wsman</a:To>
<a:Action>http://schemas.xmlsoap.org/ws/2004/09/enumeration/Enumerate</a:Action><a:MessageID>uuid:1</a:MessageID>
<w:ResourceURI>{URI}</w:ResourceURI></s:Header><s:Body><n:Enumerate/></s:Body></s:Envelope>""".encode()


def negotiate(token):
    return {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}


class Ntlm(Logins):
    def test_sealed_requests_bare_and_negotiated(self):
        for auth in ("ntlm", "negotiate"):
            wsman = self.client(auth)
            # More than one, so that the numbers of both directions go on.
            for _ in range(3):
                answer = wsman.enumerate(URI, ET.Element(ENUMERATE))
                self.assertTrue(list(answer), auth)

    def test_wrong_passwords_and_users_who_may_not(self):
        for user, password in (("nina", "wrong"), ("nobody", PASSWORD), ("bess", PASSWORD.replace("nina", "bess"))):
            with self.assertRaises(AuthenticationError, msg=user):
                self.client("ntlm", password, user).enumerate(URI, ET.Element(ENUMERATE))

    def test_a_user_who_was_removed_is_refused_at_once(self):
        connection = self.connection()
        self.log_in(connection)
        self.assertEqual(self.post(connection, {})[0], 200)
        self.server.remove("nina")
        self.assertEqual(self.post(connection, {})[0], 401)

    def test_no_header_an_empty_one_and_broken_tokens(self):
        connection = self.connection()
        context = spnego.client("nina", PASSWORD, hostname="127.0.0.1", protocol="ntlm")
        first = context.step()
        headers = [{}]
        for scheme in ("", "Basic", "Negotiate", "NTLM", "Kerberos", "Digest", "CredSSP"):
            headers += [{"Authorization": scheme}, {"Authorization": f"{scheme} "}, {"Authorization": f"{scheme} !"}]
        headers += [negotiate(first[:length]) for length in range(0, 16)]
        headers += [negotiate(b"\x60" + os.urandom(length)) for length in range(0, 64, 7)]
        with self.nothing_reaches_the_broker():
            for given in headers:
                status, answered, _ = self.post(connection, given, GET_CLASS)
                self.assertEqual(status, 401, given)
                self.assertIn("Negotiate", answered.get_all("WWW-Authenticate"))
        # The request is a good one.
        before = self.carried_out()
        connection = self.connection()
        self.log_in(connection)
        self.assertEqual(self.post(connection, {}, GET_CLASS)[0], 200)
        self.assertGreater(self.carried_out(), before)

    def test_tokens_that_are_cut_off_anywhere(self):
        for protocol in ("ntlm", "negotiate"):
            connection = self.connection()

            def begun():
                context = spnego.client("nina", PASSWORD, hostname="127.0.0.1", protocol=protocol)
                first = context.step()
                status, headers, _ = self.post(connection, negotiate(first))
                self.assertEqual(status, 401)
                return first, context.step(base64.b64decode(headers["WWW-Authenticate"].removeprefix("Negotiate ")))

            first, third = begun()
            with self.nothing_reaches_the_broker():
                for length in range(len(first)):
                    status, headers, _ = self.post(connection, negotiate(first[:length]), GET_CLASS)
                    self.assertEqual(status, 401, length)
                for length in range(len(third)):
                    _, token = begun()
                    status, _, _ = self.post(connection, negotiate(token[:length]), GET_CLASS)
                    self.assertEqual(status, 401, f"{length} of {len(token)}")
                    self.assertEqual(self.post(connection, {}, GET_CLASS)[0], 401)
            _, token = begun()
            self.assertEqual(self.post(connection, negotiate(token), GET_CLASS)[0], 200)

    def test_tokens_of_another_login_are_refused(self):
        _, token = self.log_in(self.connection())
        # On a connection that has heard nothing, and on one that was asked for another proof.
        connection = self.connection()
        with self.nothing_reaches_the_broker():
            self.assertEqual(self.post(connection, negotiate(token), GET_CLASS)[0], 401)
            other = spnego.client("nina", PASSWORD, hostname="127.0.0.1", protocol="ntlm")
            self.assertEqual(self.post(connection, negotiate(other.step()))[0], 401)
            self.assertEqual(self.post(connection, negotiate(token), GET_CLASS)[0], 401)
            self.assertEqual(self.post(connection, {}, GET_CLASS)[0], 401)

    def test_a_body_opens_for_its_own_login_only(self):
        mine, others = self.connection(), self.connection()
        context, _ = self.log_in(mine)
        self.log_in(others, user="otto")
        wrapped = context.wrap_winrm(GET_CLASS)
        body = (
            b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
            b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            + len(wrapped.header).to_bytes(4, "little") + wrapped.header + wrapped.data + b"--Encrypted Boundary--\r\n"
        ).replace(b"Length=%d", b"Length=%d" % len(GET_CLASS))
        kind = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
        headers = {"Content-Type": kind}
        with self.nothing_reaches_the_broker():
            self.assertEqual(self.post(self.connection(), headers, body)[0], 401, "nobody logged in")
            self.assertEqual(self.post(others, headers, body)[0], 401, "somebody else's")
            self.assertEqual(self.post(others, {}, GET_CLASS)[0], 401, "the login ended with it")
        status, answered, _ = self.post(mine, headers, body)
        self.assertEqual(status, 200, "opened")
        self.assertTrue(answered["Content-Type"].startswith("multipart/encrypted"), "the answer is sealed too")
        with self.nothing_reaches_the_broker():
            self.assertEqual(self.post(mine, headers, body)[0], 401, "the same again")


class Kerberos(Logins):
    """With a key distribution centre of its own."""

    def setUp(self):
        self.realm = pathlib.Path(tempfile.mkdtemp(dir=os.environ["INTEROP_SCRATCH"]))
        self.addCleanup(shutil.rmtree, self.realm, ignore_errors=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (self.realm / "krb5.conf").write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
            f" dns_canonicalize_hostname = false\n udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
        )
        (self.realm / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {self.realm}/principal\n  key_stash_file = {self.realm}/stash\n"
            f"  supported_enctypes = aes256-cts-hmac-sha1-96:normal\n }}\n[logging]\n kdc = FILE:{self.realm}/kdc.log\n"
        )
        self.environment = {
            **os.environ,
            "PATH": os.environ["PATH"] + ":/usr/sbin",
            "KRB5_CONFIG": str(self.realm / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.realm / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self.realm}/tickets",
        }
        self.run_tool("kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        for words in ("addprinc -pw secret nina", "addprinc -pw secret nobody", "addprinc -randkey HTTP/localhost"):
            self.run_tool("kadmin.local", "-r", REALM, "-q", words)
        self.run_tool("kadmin.local", "-r", REALM, "-q", f"ktadd -k {self.realm}/keytab HTTP/localhost")
        centre = subprocess.Popen(["krb5kdc", "-n"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        self.addCleanup(centre.wait, PATIENCE)
        self.addCleanup(centre.terminate)

        def serves():
            assert centre.poll() is None, (self.realm / "kdc.log").read_text()[-2000:]
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(serves, "the key distribution centre")
        # In front, so that more of the section may follow.
        self.configuration = f'[auth]\nkeytab = "{self.realm}/keytab"\n' + self.configuration.replace("[auth]\n", "")
        super().setUp()

    def run_tool(self, *command, said=""):
        done = subprocess.run(command, env=self.environment, input=said, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")

    def get_ticket(self, user):
        self.run_tool("kinit", user, said="secret\n")

    def ask(self, port=None, *more):
        """Asks with the ticket; `more` is how it is done over TLS."""
        envelope = self.place / "envelope"
        wsman = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
        envelope.write_text(
            f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:i="{wsman}"><s:Header/>'
            "<s:Body><i:Identify/></s:Body></s:Envelope>"
        )
        client = pathlib.Path(__file__).parent / "kerberos_client.py"
        port = str(port or self.server.port)
        command = ["/usr/bin/python3", "-B", str(client), "localhost", port, str(envelope), *more]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def test_sealed_requests_with_a_ticket(self):
        self.get_ticket("nina")
        done = self.ask()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("200 "), done.stdout)
        self.assertIn("Cimwright", done.stdout)

    def test_tickets_that_are_cut_off_replayed_or_of_others(self):
        self.get_ticket("nina")
        with self.nothing_reaches_the_broker():
            client = pathlib.Path(__file__).parent / "kerberos_client.py"
            command = ["/usr/bin/python3", "-B", str(client), "drill", "localhost", str(self.server.port)]
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"refused [0-9]{3,} tokens and 4 bodies")

    def test_a_ticket_of_somebody_who_is_no_user(self):
        self.get_ticket("nobody")
        done = self.ask()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("401", done.stderr)
