"""Jobs that run at their time, and what a job tells of the call that made it (DSP1103)."""

import datetime

import pywbem

from harness import (
    COMPLETED,
    EXCEPTION,
    NEW,
    START,
    TERMINATE,
    TERMINATED,
    V1,
    V2,
    Case,
    Job,
    wait_until,
)

LATER = "20990101000000.000000+000"


def after(seconds):
    """A time that long from now."""
    return pywbem.CIMDateTime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds))


class ScheduleCase(Case):
    """A way to start a job later."""

    def planned(self, start, ending="complete", name="planned"):
        """Starts a demonstration job that is to begin at a time, or an interval from now."""
        parameters = [
            ("Name", name),
            ("Steps", pywbem.Uint32(1)),
            ("Ending", ending),
            ("ScheduledStartTime", pywbem.CIMDateTime(start)),
        ]
        return self.start(self.ada, "StartJob", parameters, "Cimwright_DemoService")

    def modify(self, job, **properties):
        """Changes these properties of a job and no others."""
        instance = pywbem.CIMInstance(job.path.classname, properties, path=job.path)
        self.ada.ModifyInstance(instance, PropertyList=list(properties))

    def runs(self, job):
        """The runs of a recurring job that the history has, in order."""
        where = f"SELECT * FROM Cimwright_JobHistory WHERE RecurringJobID = '{job.path['InstanceID']}'"
        return sorted(self.ada.ExecQuery("WQL", where), key=lambda run: run["RunNumber"])


class ScheduleV1(ScheduleCase):
    """Where the class makes the properties writable."""

    namespace = V1

    def test_a_job_waits_for_its_time(self):
        job = self.planned("00000000000002.000000:000")
        waiting = job.get()
        self.assertEqual(waiting["JobState"], NEW)
        self.assertIn("Waiting until", waiting["JobStatus"])
        self.assertFalse(waiting["ScheduledStartTime"].is_interval, "an interval becomes the moment that it means")
        self.assertIsNone(waiting["StartTime"])
        ended = job.wait()
        self.assertEqual(ended["JobState"], COMPLETED)
        self.assertGreaterEqual(ended["StartTime"].datetime, waiting["ScheduledStartTime"].datetime)

    def test_start_means_now(self):
        job = self.planned(LATER)
        self.assertEqual(job.state, NEW)
        self.assertEqual(job.request(START), 0)
        self.assertEqual(job.wait()["JobState"], COMPLETED)

    def test_a_job_is_given_another_time(self):
        job = self.planned(LATER)
        self.modify(job, ScheduledStartTime=after(1))
        self.assertEqual(job.wait()["JobState"], COMPLETED)

    def test_a_waiting_job_is_terminated(self):
        job = self.planned(LATER)
        self.assertEqual(job.request(TERMINATE), 0)
        self.assertEqual(job.state, TERMINATED)
        self.assertEqual(job.error()["MessageID"], "CWJOB1001")

    def test_a_calendar_says_when(self):
        job = self.planned(LATER)
        # The last Sunday of every March, at half past two in the afternoon, UTC.
        self.modify(
            job,
            RunMonth=pywbem.Uint8(2),
            RunDay=pywbem.Sint8(-1),
            RunDayOfWeek=pywbem.Sint8(-1),
            RunStartInterval=pywbem.CIMDateTime("00000000143000.000000:000"),
            LocalOrUtcTime=pywbem.Uint16(2),
            JobRunTimes=pywbem.Uint32(0),
        )
        now = job.get()
        self.assertEqual(now["JobStatus"], "Waiting until 20990329143000.000000+000")
        self.assertEqual((now["RunMonth"], now["RunDay"], now["RunDayOfWeek"]), (2, -1, -1))
        self.assertEqual(job.request(TERMINATE), 0)

    def test_a_recurring_job_leaves_every_run_in_the_history(self):
        job = self.planned("00000000000000.000000:000", ending="fail", name="again")
        job.wait()
        again = self.planned(LATER, ending="fail", name="again and again")
        self.modify(again, JobRunTimes=pywbem.Uint32(3), ScheduledStartTime=after(0))
        ended = again.wait()
        self.assertEqual(ended["JobState"], EXCEPTION)
        runs = self.runs(again)
        self.assertEqual([run["RunNumber"] for run in runs], [1, 2])
        for run in runs:
            self.assertEqual(run["JobState"], EXCEPTION)
            self.assertEqual(run["ErrorDescription"], ended["ErrorDescription"])
            keys = {"InstanceID": run["InstanceID"]}
            path = pywbem.CIMInstanceName("Cimwright_JobHistory", keys, namespace=self.namespace)
            past = Job(self.ada, path)
            self.assertEqual([e["MessageID"] for e in past.errors()], ["CWDEMO1001", "CWDEMO1002"])

    def test_the_until_time_leaves_room_for_a_run(self):
        job = self.planned("00000000010000.000000:000")
        self.modify(job, UntilTime=pywbem.CIMDateTime("00000000020000.000000:000"))
        # Earlier than the start: the job would never run.
        self.expect_status(
            pywbem.CIM_ERR_INVALID_PARAMETER,
            self.modify,
            job,
            UntilTime=pywbem.CIMDateTime("00000000000100.000000:000"),
        )
        self.assertEqual(job.request(TERMINATE), 0)

    def test_the_until_time_stops_a_job_that_runs(self):
        job = self.planned(LATER, ending="wait")
        self.modify(job, ScheduledStartTime=after(0.5), UntilTime=after(3))
        ended = job.wait()
        self.assertEqual(ended["JobState"], TERMINATED)
        self.assertEqual(job.error()["MessageID"], "CWJOB1011")

    def test_what_makes_no_sense_is_refused(self):
        job = self.planned(LATER)
        for properties in (
            {"RunMonth": pywbem.Uint8(1), "RunDay": pywbem.Sint8(30)},
            {"RunDay": pywbem.Sint8(0)},
            {"RunStartInterval": pywbem.CIMDateTime("00000001000000.000000:000")},
            {"JobRunTimes": pywbem.Uint32(0)},
        ):
            self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, self.modify, job, **properties)
        self.assertEqual(job.get()["JobStatus"], f"Waiting until {LATER}")
        self.assertEqual(job.request(TERMINATE), 0)

    def test_a_job_that_runs_keeps_its_time(self):
        job = self.demo(self.ada)
        wait_until(lambda: job.state != NEW, "the job to begin")
        error = self.expect_status(
            pywbem.CIM_ERR_FAILED, self.modify, job, ScheduledStartTime=pywbem.CIMDateTime(LATER)
        )
        self.assertIn("only while it has not begun", error.status_description)
        self.finish(job)


class ScheduleV2(ScheduleCase):
    """Where it does not."""

    namespace = V2

    def test_a_job_waits_but_its_time_is_fixed(self):
        job = self.planned(LATER)
        other = pywbem.CIMDateTime("20980101000000.000000+000")
        self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, self.modify, job, ScheduledStartTime=other)
        self.assertEqual(job.request(START), 0)
        self.assertEqual(job.wait()["JobState"], COMPLETED)


class MethodResults:
    """The tests; the classes below say in which namespace."""

    def test_a_job_leads_to_the_call_that_made_it_and_back(self):
        job = self.demo(self.ada, name="called")
        results = self.ada.Associators(job.path, AssocClass="CIM_AssociatedJobMethodResult")
        self.assertEqual(len(results), 1)
        result = results[0]
        self.assertEqual(result.classname, "CIM_MethodResult")
        self.assertIsNone(result["PostCallIndication"])
        before = result["PreCallIndication"]
        self.assertIsInstance(before, pywbem.CIMInstance)
        self.assertEqual(before.classname, "CIM_InstMethodCall")
        self.assertEqual((before["MethodName"], before["PreCall"]), ("StartJob", True))
        given = before["MethodParameters"]
        self.assertEqual(given.classname, "__MethodParameters")
        self.assertEqual((given["Name"], given["Bytes"]), ("called", 1000))
        self.assertEqual(before["SourceInstance"].classname, "Cimwright_DemoService")
        self.finish(job)
        job.wait()
        after_it = self.ada.GetInstance(result.path)["PostCallIndication"]
        self.assertEqual((after_it["PreCall"], after_it["ReturnValue"]), (False, "0"))
        self.assertIn(job.path["InstanceID"], after_it["MethodParameters"]["Job"])
        back = self.ada.AssociatorNames(result.path, ResultClass="CIM_ConcreteJob")
        self.assertEqual([path["InstanceID"] for path in back], [job.path["InstanceID"]])
        ties = self.ada.References(result.path, ResultClass="CIM_AssociatedJobMethodResult")
        self.assertEqual([tie["Job"]["InstanceID"] for tie in ties], [job.path["InstanceID"]])
        self.ada.DeleteInstance(job.path)
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.ada.GetInstance, result.path)

    def test_a_failure_is_the_return_value(self):
        job = self.demo(self.ada, ending="fail")
        job.wait()
        result = self.ada.Associators(job.path, ResultClass="CIM_MethodResult")[0]
        self.assertEqual(result["PostCallIndication"]["ReturnValue"], "32768")

    def test_an_element_leads_to_its_jobs(self):
        job = self.demo(self.ada)
        service = self.service(self.ada, "Cimwright_DemoService")
        owned = self.ada.AssociatorNames(service, AssocClass="CIM_OwningJobElement")
        self.assertIn(job.path["InstanceID"], [path["InstanceID"] for path in owned])
        other = self.service(self.ada)
        owned = self.ada.AssociatorNames(other, AssocClass="CIM_OwningJobElement")
        self.assertNotIn(job.path["InstanceID"], [path["InstanceID"] for path in owned])
        self.finish(job)


class MethodResultsV1(MethodResults, Case):
    namespace = V1


class MethodResultsV2(MethodResults, Case):
    namespace = V2
