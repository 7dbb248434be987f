"""The whole story of a job, told in both namespaces: start, watch, stop, and ask why."""

import time

import pywbem

from harness import (
    COMPLETED,
    DYNAMIC,
    ENDED,
    EXCEPTION,
    FIXED,
    KILL,
    KILLED,
    MIB,
    PATIENCE,
    RUNNING,
    SERVICE,
    START,
    SUSPEND,
    SUSPENDED,
    TERMINATE,
    TERMINATED,
    V1,
    V2,
    Case,
    qemu_img,
    random_image,
    wait_until,
)

FIVE_MINUTES = "00000000000500.000000:000"
# What RequestStateChange answers to a request that makes no sense: DMTF's table, and Hyper-V's for storage jobs of v2.
INVALID_TRANSITION = {"Msvm_ConcreteJob": 4097, "Msvm_StorageJob": {V1: 4097, V2: 32775}}


class JobStory:
    """The tests; the classes below say in which namespace."""

    # ---- jobs that do nothing, for what does not depend on the work

    def test_nothing_to_report_while_running_and_after_success(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        running = job.get()
        self.assertIsNone(job.error())
        self.assertIsNone(job.errors())
        self.assertEqual(running["OperationalStatus"][0], 2)
        self.assertEqual(running["ErrorCode"], 0)
        self.assertLess(running["PercentComplete"], 100)
        self.assertTrue(running["Cancellable"])
        self.finish(job)
        ended = job.wait()
        self.assertEqual(ended["JobState"], COMPLETED)
        self.assertEqual(ended["PercentComplete"], 100)
        self.assertEqual(ended["OperationalStatus"][:2], [2, 17])
        self.assertEqual(ended["ErrorCode"], 0)
        self.assertFalse(ended["Cancellable"])
        self.assertIsNone(job.error())
        self.assertIsNone(job.errors())

    def test_a_failure_tells_the_same_reason_everywhere(self):
        job = self.demo(self.ada, ending="fail", name="bound to fail")
        ended = job.wait()
        self.assertEqual(ended["JobState"], EXCEPTION)
        self.assertNotEqual(ended["OperationalStatus"][0], 2)
        self.assertIn(6, ended["OperationalStatus"])
        error = job.error()
        self.assertEqual(error.classname, "CIM_Error" if self.namespace == V1 else "Msvm_Error")
        self.assertEqual(error["MessageID"], "CWDEMO1001")
        self.assertIn("bound to fail", error["Message"])
        self.assertEqual(error["MessageArguments"], ["bound to fail"])
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assertTrue(ended["ErrorSummaryDescription"].startswith(error["Message"]))
        self.assertEqual(ended["ErrorCode"], 32768)
        chain = job.errors()
        self.assertEqual([e["MessageID"] for e in chain], ["CWDEMO1001", "CWDEMO1002"])
        self.assertEqual({e.classname for e in chain}, {"Msvm_Error"})
        self.assertEqual(chain[0]["Message"], error["Message"])

    def test_an_error_is_complete(self):
        job = self.demo(self.ada, ending="fail")
        job.wait()
        error = job.error()
        self.assertEqual(error["OwningEntity"], "Cimwright")
        self.assertEqual(error["ErrorType"], 1)
        self.assertIn(error["PerceivedSeverity"], (0, 2, 3, 4, 5))
        self.assertLessEqual(error["ProbableCause"], 130)
        self.assertTrue(error["ProbableCauseDescription"])
        self.assertTrue(error["RecommendedActions"])
        self.assertEqual(error["CIMStatusCode"], 1)
        self.assertEqual(error["CIMStatusCodeDescription"], "CIM_ERR_FAILED")
        self.assertEqual(error["ErrorSourceFormat"], 2)
        self.assertIn(job.path["InstanceID"], error["ErrorSource"])

    def test_errors_are_put_into_words(self):
        job = self.demo(self.ada, ending="fail", name="wordy")
        job.wait()
        chain = job.errors()
        value, output = self.call(
            self.ada, "FormatError", [("Errors", job.error_texts())], "Msvm_VirtualSystemManagementService"
        )
        self.assertEqual(value, 0)
        for error in chain:
            self.assertIn(error["Message"], output["ErrorMessage"])

    def test_a_job_tells_all_about_itself(self):
        job = self.demo(self.ada, name="talkative", steps=2)
        job.wait_for(RUNNING)
        now = job.get()
        self.assertEqual(now["InstanceID"], job.path["InstanceID"])
        self.assertEqual(now["Name"], "talkative")
        self.assertEqual(now["Owner"], "ada")
        for name in ("Caption", "Description", "ElementName", "JobStatus"):
            self.assertTrue(now[name], name)
        self.assertLessEqual(len(now["Caption"]), 64)
        self.assertEqual(len(now["StatusDescriptions"]), len(now["OperationalStatus"]))
        self.assertEqual(now["HealthState"], 5)
        self.assertEqual(str(now["TimeBeforeRemoval"]), FIVE_MINUTES)
        self.assertIsNotNone(now["DeleteOnCompletion"])
        for name in ("TimeSubmitted", "StartTime", "TimeOfLastStateChange"):
            self.assertFalse(now[name].is_interval, name)
        self.assertLessEqual(now["TimeSubmitted"].datetime, now["StartTime"].datetime)
        self.assertTrue(now["ElapsedTime"].is_interval)
        self.finish(job)
        ended = job.wait()
        self.assertGreaterEqual(ended["TimeOfLastStateChange"].datetime, now["TimeOfLastStateChange"].datetime)
        self.assertGreaterEqual(ended["ElapsedTime"].timedelta, now["ElapsedTime"].timedelta)
        self.assertEqual(job.get()["ElapsedTime"], ended["ElapsedTime"], "the clock of an ended job stands still")

    def test_every_job_has_every_property_of_its_class(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        declared = self.ada.GetClass("Msvm_ConcreteJob", LocalOnly=False)
        self.assertEqual(set(job.get().properties), set(declared.properties))
        self.finish(job)

    def test_a_waiting_job_is_terminated(self):
        self.stop(TERMINATE, TERMINATED, "CWJOB1001")

    def test_a_waiting_job_is_killed(self):
        self.stop(KILL, KILLED, "CWJOB1002")

    def stop(self, request, state, message_id):
        job = self.demo(self.ada, name="to be stopped")
        job.wait_for(RUNNING)
        self.assertIn(job.request(request), (0, 4096))
        ended = job.wait()
        self.assertEqual(ended["JobState"], state)
        self.assertEqual(ended["OperationalStatus"][0], 10)
        error = job.error()
        self.assertEqual(error["MessageID"], message_id)
        self.assertIn("ada", error["Message"])
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assertNotEqual(ended["ErrorCode"], 0)
        self.assertLess(ended["PercentComplete"], 100)

    def test_a_suspended_job_can_be_terminated(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        self.assertIn(job.request(SUSPEND), (0, 4096))
        job.wait_for(SUSPENDED)
        self.assertIsNone(job.error())
        self.assertIn(job.request(TERMINATE), (0, 4096))
        self.assertEqual(job.wait()["JobState"], TERMINATED)

    def test_requests_that_make_no_sense_are_answered_and_change_nothing(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        before = job.value("TimeOfLastStateChange")
        self.assertEqual(job.request(START), 0, "it runs already")
        self.assertEqual(job.request(77), 5)
        self.assertEqual(job.request(SUSPEND, timeout="20261121000000.000000+000"), 5, "a date is no period")
        self.assertEqual(job.state, RUNNING)
        self.assertEqual(job.value("TimeOfLastStateChange"), before)
        self.finish(job)
        ended = job.wait()
        for request in (START, SUSPEND, TERMINATE, KILL, SERVICE):
            self.assertEqual(job.request(request), INVALID_TRANSITION["Msvm_ConcreteJob"], f"request {request}")
        self.assertEqual(job.state, COMPLETED)
        self.assertEqual(job.value("TimeOfLastStateChange"), ended["TimeOfLastStateChange"])

    def test_a_time_limit_is_honoured(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        self.assertEqual(job.request(SUSPEND, timeout="00000000000010.000000:000"), 0)
        self.assertEqual(job.state, SUSPENDED)
        self.assertEqual(job.request(START, timeout="00000000000000.000000:000"), 0)
        self.assertEqual(job.state, RUNNING)
        self.assertEqual(job.request(TERMINATE, timeout="00000000000010.000000:000"), 0)
        self.assertEqual(job.state, TERMINATED)

    def test_kill_job_is_not_supported(self):
        job = self.demo(self.ada)
        value, _ = self.ada.InvokeMethod("KillJob", job.path, [("DeleteOnKill", True)])
        self.assertEqual(value, 1)
        self.finish(job)

    def test_a_job_that_is_not_there(self):
        path = pywbem.CIMInstanceName(
            "Msvm_ConcreteJob",
            {"InstanceID": "0198AAAA-0000-7000-8000-000000000000"},
            namespace=self.namespace,
        )
        for call in (
            lambda: self.ada.GetInstance(path),
            lambda: self.ada.InvokeMethod("GetError", path),
            lambda: self.ada.InvokeMethod("RequestStateChange", path, [("RequestedState", pywbem.Uint16(KILL))]),
            lambda: self.ada.DeleteInstance(path),
        ):
            self.expect_status(pywbem.CIM_ERR_NOT_FOUND, call)

    def test_an_ended_job_is_deleted_and_a_running_one_is_not(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        self.expect_status(pywbem.CIM_ERR_FAILED, self.ada.DeleteInstance, job.path)
        self.assertEqual(job.state, RUNNING)
        self.finish(job)
        job.wait()
        self.ada.DeleteInstance(job.path)
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, job.get)
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, job.error)

    def test_the_history_remembers_a_job_that_is_gone(self):
        job = self.demo(self.ada, ending="fail", name="history")
        job.wait()
        message = job.error()["Message"]
        self.ada.DeleteInstance(job.path)
        where = f"SELECT * FROM Cimwright_JobHistory WHERE InstanceID = '{job.path['InstanceID']}'"
        found = self.ada.ExecQuery("WQL", where)
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["JobState"], EXCEPTION)
        self.assertEqual(found[0]["ErrorDescription"], message)

    # ---- jobs that work on images

    def suffix(self):
        return ".vhd" if self.namespace == V1 else ".vhdx"

    def format(self):
        return "vpc" if self.namespace == V1 else "vhdx"

    def test_a_conversion_succeeds_and_says_what_it_did(self):
        source = random_image(self.directory / "source.raw", 48 * MIB, holes=True)
        target = self.directory / f"target{self.suffix()}"
        job = self.convert(self.ada, source, target)
        self.assertEqual(job.path.classname, "Msvm_StorageJob")
        ended = job.wait()
        self.assertEqual(ended["JobState"], COMPLETED, ended["ErrorDescription"])
        self.assertEqual(ended["OperationalStatus"][:2], [2, 17])
        self.assertEqual(ended["Type" if self.namespace == V1 else "JobType"], 6)
        self.assertEqual(ended["JobCompletionStatusCode"], 0)
        self.assertEqual(ended["PercentComplete"], 100)
        self.assertIn(str(source), ended["Description"])
        self.assertIsNone(job.error())
        self.assertIsNone(job.errors())
        self.assert_same_content(source, "raw", target, self.format())
        self.assert_only(source.name, target.name)

    def test_a_conversion_there_and_back_again(self):
        source = random_image(self.directory / "source.raw", 20 * MIB, holes=True)
        steps = [source]
        for number, (suffix, kind) in enumerate(
            (
                (self.suffix(), DYNAMIC),
                (self.suffix(), FIXED),
                (".qcow2", DYNAMIC),
                (".raw", FIXED),
            )
        ):
            steps.append(self.directory / f"step{number}{suffix}")
            ended = self.convert(self.ada, steps[-2], steps[-1], kind).wait()
            self.assertEqual(ended["JobState"], COMPLETED, ended["ErrorDescription"])
        self.assertEqual(steps[-1].read_bytes(), source.read_bytes())

    def test_a_running_conversion_is_terminated(self):
        self.stop_conversion(TERMINATE, TERMINATED, "CWJOB1001")

    def test_a_running_conversion_is_killed(self):
        self.stop_conversion(KILL, KILLED, "CWJOB1002")

    def stop_conversion(self, request, state, message_id):
        source = random_image(self.directory / "source.raw", 1024 * MIB)
        job = self.convert(self.ada, source, self.directory / f"target{self.suffix()}")
        job.wait_for_percent(3)
        self.assertIn(job.request(request), (0, 4096))
        ended = job.wait()
        self.assertEqual(ended["JobState"], state)
        self.assertNotEqual(ended["OperationalStatus"][0], 2)
        self.assertLess(ended["PercentComplete"], 100)
        self.assertNotEqual(ended["JobCompletionStatusCode"], 0)
        error = job.error()
        self.assertEqual(error["MessageID"], message_id)
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assert_only(source.name)
        # What makes no sense for a storage job is refused with the number of its own table.
        self.assertEqual(job.request(START), INVALID_TRANSITION["Msvm_StorageJob"][self.namespace])

    def test_a_suspended_conversion_stands_still_and_ends_with_the_same_content(self):
        source = random_image(self.directory / "source.raw", 1024 * MIB)
        target = self.directory / f"target{self.suffix()}"
        job = self.convert(self.ada, source, target)
        job.wait_for_percent(3)
        self.assertIn(job.request(SUSPEND), (0, 4096))
        job.wait_for(SUSPENDED)
        self.assertIsNone(job.error())
        before, written = job.get(), self.bytes_written(source)
        self.assertLess(before["PercentComplete"], 100)
        # This is what is measured: for all this time nothing moves.
        deadline = time.monotonic() + 0.7
        while time.monotonic() < deadline:
            now = job.get()
            self.assertEqual(now["JobState"], SUSPENDED)
            self.assertEqual(now["PercentComplete"], before["PercentComplete"])
            self.assertEqual(now["ElapsedTime"], before["ElapsedTime"])
            self.assertEqual(self.bytes_written(source), written)
            time.sleep(0.05)
        self.assertIn(job.request(START), (0, 4096))
        ended = job.wait()
        self.assertEqual(ended["JobState"], COMPLETED, ended["ErrorDescription"])
        self.assertIsNone(job.error())
        self.assert_same_content(source, "raw", target, self.format())
        self.assert_only(source.name, target.name)

    def bytes_written(self, source):
        """How much the job has put into the directory of the test."""
        others = [path for path in self.directory.iterdir() if path != source]
        return sum(path.stat().st_blocks for path in others)

    def test_progress_only_grows_and_is_100_only_at_the_end(self):
        source = random_image(self.directory / "source.raw", 512 * MIB)
        job = self.convert(self.ada, source, self.directory / f"target{self.suffix()}")
        seen = []

        def ended():
            now = job.get("PercentComplete", "JobState", "ErrorDescription")
            seen.append((now["PercentComplete"], now["JobState"]))
            return now["JobState"] in ENDED

        wait_until(ended, "the end of the conversion", PATIENCE)
        self.assertEqual(seen[-1], (100, COMPLETED))
        percents = [percent for percent, _ in seen]
        self.assertEqual(percents, sorted(percents))
        for percent, state in seen:
            self.assertEqual(percent == 100, state in ENDED, seen)
        self.assertTrue(any(0 < percent < 100 for percent in percents), "a live progress")

    def test_jobs_of_one_namespace_are_seen_in_the_other(self):
        other = self.connection("ada", V1 if self.namespace == V2 else V2)
        job = self.demo(self.ada, ending="fail")
        job.wait()
        path = pywbem.CIMInstanceName(job.path.classname, job.path.keybindings, namespace=other.default_namespace)
        self.assertEqual(other.GetInstance(path)["JobState"], EXCEPTION)

    def test_the_engine_itself_finds_nothing_wrong_with_the_result(self):
        source = random_image(self.directory / "source.raw", 16 * MIB)
        target = self.directory / "target.vhdx"
        self.assertEqual(self.convert(self.ada, source, target).wait()["JobState"], COMPLETED)
        self.assertEqual(qemu_img("check", "-f", "vhdx", target).returncode, 0)


class JobStoryV1(JobStory, Case):
    namespace = V1

    def test_retention_can_be_changed(self):
        job = self.demo(self.ada, ending="fail")
        instance = job.wait()
        instance["TimeBeforeRemoval"] = pywbem.CIMDateTime("00000000000001.000000:000")
        self.ada.ModifyInstance(instance, PropertyList=["TimeBeforeRemoval"])

        def gone():
            try:
                now = job.get()
            except pywbem.CIMError as error:
                self.assertEqual(error.status_code, pywbem.CIM_ERR_NOT_FOUND)
                return True
            self.assertEqual(str(now["TimeBeforeRemoval"]), "00000000000001.000000:000")
            return False

        wait_until(gone, "the removal of the job")
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, job.error)
        query = f"SELECT * FROM Cimwright_JobHistory WHERE InstanceID = '{job.path['InstanceID']}'"
        self.assertEqual(len(self.ada.ExecQuery("WQL", query)), 1)

    def test_a_job_that_is_to_stay_stays(self):
        job = self.demo(self.ada, ending="complete")
        instance = job.wait()
        instance["DeleteOnCompletion"] = False
        instance["TimeBeforeRemoval"] = pywbem.CIMDateTime("00000000000000.000000:000")
        instance["Notify"] = "somebody"
        self.ada.ModifyInstance(instance, PropertyList=["DeleteOnCompletion", "TimeBeforeRemoval", "Notify"])
        other = self.demo(self.ada, ending="complete")
        instance = other.wait()
        instance["TimeBeforeRemoval"] = pywbem.CIMDateTime("00000000000000.000000:000")
        self.ada.ModifyInstance(instance, PropertyList=["TimeBeforeRemoval"])
        # Once the one that may go is gone, the retention has looked at both.
        wait_until(lambda: not self.is_there(other), "the removal of the other job")
        self.assertEqual(job.value("Notify"), "somebody")

    def is_there(self, job):
        try:
            job.get("InstanceID")
        except pywbem.CIMError as error:
            self.assertEqual(error.status_code, pywbem.CIM_ERR_NOT_FOUND)
            return False
        return True

    def test_only_what_is_writable_can_be_changed(self):
        job = self.demo(self.ada, ending="complete")
        instance = job.wait()
        instance["JobState"] = pywbem.Uint16(RUNNING)
        self.expect_status(
            pywbem.CIM_ERR_INVALID_PARAMETER, self.ada.ModifyInstance, instance, PropertyList=["JobState"]
        )
        instance = pywbem.CIMInstance("Msvm_ConcreteJob", {"Nonsense": "x"}, path=job.path)
        self.expect_status(pywbem.CIM_ERR_NO_SUCH_PROPERTY, self.ada.ModifyInstance, instance)


class JobStoryV2(JobStory, Case):
    namespace = V2

    def test_retention_is_fixed(self):
        job = self.demo(self.ada, ending="complete")
        instance = job.wait()
        instance["TimeBeforeRemoval"] = pywbem.CIMDateTime("00000000000001.000000:000")
        self.expect_status(
            pywbem.CIM_ERR_INVALID_PARAMETER,
            self.ada.ModifyInstance,
            instance,
            PropertyList=["TimeBeforeRemoval"],
        )
        self.assertEqual(str(job.value("TimeBeforeRemoval")), FIVE_MINUTES)
