"""Who may what, and how a client gets in."""

import pywbem

from harness import (
    CERTIFICATE,
    COMPLETED,
    HTTPS,
    KILL,
    MIB,
    RUNNING,
    TERMINATE,
    TERMINATED,
    V1,
    V2,
    Case,
    Job,
    connect,
    random_image,
    settings,
)

ACCESS_DENIED = 32769


class Access:
    """The tests; the classes below say in which namespace."""

    def test_an_operator_controls_jobs_of_its_own(self):
        job = self.demo(self.connection("olga"))
        job.wait_for(RUNNING)
        self.assertEqual(job.value("Owner"), "olga")
        self.assertIn(job.request(TERMINATE), (0, 4096))
        self.assertEqual(job.wait()["JobState"], TERMINATED)
        self.assertIn("olga", job.error()["Message"])

    def test_an_operator_sees_but_does_not_touch_jobs_of_others(self):
        job = self.demo(self.connection("olga"))
        job.wait_for(RUNNING)
        foreign = Job(self.connection("otto"), job.path)
        self.assertEqual(foreign.state, RUNNING)
        self.assertIsNone(foreign.error())
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, foreign.request, KILL)
        self.finish(job)
        job.wait()
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, foreign.connection.DeleteInstance, job.path)
        self.assertEqual(job.state, COMPLETED)

    def test_a_storage_job_of_somebody_else_denies_access_in_its_own_words(self):
        source = random_image(self.directory / "source.raw", MIB)
        target = self.directory / ("target.vhd" if self.namespace == V1 else "target.vhdx")
        job = self.convert(self.connection("olga"), source, target)
        foreign = Job(self.connection("otto"), job.path)
        if self.namespace == V1:
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, foreign.request, KILL)
        else:
            self.assertEqual(foreign.request(KILL), ACCESS_DENIED)
        self.assertEqual(job.wait()["JobState"], COMPLETED)

    def test_an_administrator_controls_every_job(self):
        job = self.demo(self.connection("olga"))
        job.wait_for(RUNNING)
        self.assertIn(Job(self.ada, job.path).request(TERMINATE), (0, 4096))
        self.assertEqual(job.wait()["JobState"], TERMINATED)
        self.assertIn("ada", job.error()["Message"])
        self.ada.DeleteInstance(job.path)

    def test_a_reader_only_looks(self):
        job = self.demo(self.ada, ending="fail")
        job.wait()
        rita = self.connection("rita")
        seen = Job(rita, job.path)
        self.assertEqual(seen.error()["MessageID"], "CWDEMO1001")
        self.assertIn(
            job.path["InstanceID"], [p["InstanceID"] for p in rita.EnumerateInstanceNames("Msvm_ConcreteJob")]
        )
        self.assertTrue(rita.GetClass("Msvm_ConcreteJob").methods)
        for call in (
            lambda: self.demo(rita),
            lambda: seen.request(KILL),
            lambda: rita.DeleteInstance(job.path),
            lambda: self.call(rita, "CreateVirtualFloppyDisk", [("Path", str(self.directory / "a.vfd"))]),
        ):
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, call)
        self.assert_only()

    def test_nobody_gets_in_without_the_right_password(self):
        for user, password in (("ada", "wrong"), ("nobody", "the password of ada: 5€"), ("ada", "")):
            connection = connect(self.namespace, user, password=password)
            self.addCleanup(connection.close)
            with self.assertRaises(pywbem.AuthError):
                connection.EnumerateClassNames()
        anonymous = pywbem.WBEMConnection(self.ada.url, None, default_namespace=self.namespace)
        self.addCleanup(anonymous.close)
        with self.assertRaises(pywbem.AuthError):
            anonymous.EnumerateClassNames()

    def test_tls_with_the_certificate_of_the_server(self):
        secure = self.connection("olga", url=HTTPS, ca_certs=str(CERTIFICATE))
        job = self.demo(secure, ending="fail")
        self.assertEqual(job.wait()["Owner"], "olga")
        self.assertEqual(job.error()["MessageID"], "CWDEMO1001")

    def test_tls_with_an_unknown_certificate_fails(self):
        stranger = self.connection("ada", url=HTTPS)
        with self.assertRaises(pywbem.ConnectionError):
            stranger.EnumerateClassNames()


class AccessV1(Access, Case):
    namespace = V1

    def test_settings_of_a_job_of_somebody_else(self):
        job = self.demo(self.connection("olga"), ending="complete")
        instance = job.wait()
        instance["Notify"] = "otto"
        otto = self.connection("otto")
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, otto.ModifyInstance, instance, PropertyList=["Notify"])
        job.connection.ModifyInstance(instance, PropertyList=["Notify"])
        self.assertEqual(job.value("Notify"), "otto")


class AccessV2(Access, Case):
    namespace = V2

    def test_a_job_of_somebody_else_still_uses_its_disk(self):
        """The owner of a job is who started it, over whatever connection."""
        path = self.directory / "disk.vhdx"
        data = settings(path, size=MIB).tocimxmlstr()
        job = self.start(self.connection("olga"), "CreateVirtualHardDisk", [("VirtualDiskSettingData", data)])
        self.assertEqual(job.wait()["Owner"], "olga")
