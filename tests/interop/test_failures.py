"""Real failures, each provoked for real, each with a reason of its own."""

import os
import pathlib
import signal

import pywbem

from harness import (
    DYNAMIC,
    EXCEPTION,
    FIXED,
    FULL_KIND,
    FULL_VALUE,
    MIB,
    STARTED,
    V1,
    V2,
    Case,
    Job,
    engines,
    held_open,
    make,
    overwrite,
    random_image,
    settings,
    wait_until,
)

# Return values of the methods.
FAILED, ACCESS_DENIED, NOT_SUPPORTED, INVALID_PARAMETER, IN_USE, NOT_FOUND = 32768, 32769, 32770, 32773, 32774, 32779
KIB = 1 << 10


class Failures:
    """The tests; the classes below say in which namespace."""

    def expect(self, message_id, source, target, kind=DYNAMIC, code=FAILED, mentions=None):
        """Converts and expects a failure with this reason, in the answer or in the job; gives the error."""
        value, output = self.call(self.ada, "ConvertVirtualHardDisk", self.convert_parameters(source, target, kind))
        self.assertIn(value, (STARTED, code))
        job = Job(self.ada, output["Job"])
        ended = job.wait()
        self.assertEqual(ended["JobState"], EXCEPTION, ended["JobStatus"])
        self.assertNotEqual(ended["OperationalStatus"][0], 2)
        error = job.error()
        self.assertEqual(error["MessageID"], message_id, error["Message"])
        self.assertEqual(ended["ErrorCode"], code)
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assertTrue(ended["ErrorSummaryDescription"].startswith(error["Message"]))
        self.assertIn(str(mentions or source), error["Message"])
        self.assertTrue(error["RecommendedActions"])
        self.assertNotEqual(ended["JobCompletionStatusCode"], 0)
        chain = job.errors()
        self.assertEqual(chain[0]["MessageID"], message_id)
        if value == STARTED:
            self.assertGreaterEqual(len(chain), 1)
        return chain

    def small_raw(self):
        return random_image(self.directory / "good.raw", 8 * MIB)

    def image(self, name, image_format, *options):
        """A small good image, made by the engine itself."""
        raw = self.small_raw()
        path = make(
            self.directory / name, "convert", "-f", "raw", "-O", image_format, *options, raw, self.directory / name
        )
        raw.unlink()
        return path

    def target(self):
        return self.directory / "target.vhd"

    # ---- what is wrong with the source

    def test_source_missing(self):
        self.expect("CWDISK1001", self.directory / "absent.vhdx", self.target(), code=NOT_FOUND)
        self.assert_only()

    def test_source_is_a_directory(self):
        directory = self.directory / "directory.vhdx"
        directory.mkdir()
        self.expect("CWDISK1003", directory, self.target(), code=INVALID_PARAMETER)

    def test_vhdx_truncated(self):
        source = self.image("source.vhdx", "vhdx")
        os.truncate(source, source.stat().st_size - 3 * MIB)
        chain = self.expect("CWDISK1016", source, self.target())
        self.assertIn(str(source.stat().st_size), chain[0]["MessageArguments"])
        self.assertEqual(chain[-1]["MessageID"], "CWDISK1901", "the engine's own words end the chain")
        self.assertIn("truncated", chain[-1]["Message"])
        self.assert_only(source.name)

    def test_vhdx_with_wrong_signature(self):
        source = overwrite(self.image("source.vhdx", "vhdx"), 0, b"nonsense")
        self.expect("CWDISK1014", source, self.target())

    def test_vhdx_with_both_headers_damaged(self):
        source = self.image("source.vhdx", "vhdx")
        for offset in (64 * KIB, 128 * KIB):
            overwrite(source, offset + 4, b"\xff\xff\xff\xff")
        self.expect("CWDISK1015", source, self.target())

    def test_vhd_without_footer(self):
        source = self.image("source.vhd", "vpc", "-o", "subformat=fixed,force_size=on")
        overwrite(source, -512, bytes(512))
        self.expect("CWDISK1020", source, self.directory / "target.vhdx")

    def test_vhd_with_damaged_header(self):
        source = self.image("source.vhd", "vpc", "-o", "subformat=dynamic,force_size=on")
        overwrite(source, 512, b"nonsense")
        self.expect("CWDISK1021", source, self.directory / "target.vhdx")

    def test_vhd_too_small(self):
        source = self.directory / "source.vhd"
        source.touch()
        self.expect("CWDISK1022", source, self.directory / "target.vhdx")

    def test_not_a_qcow2(self):
        source = self.small_raw().rename(self.directory / "source.qcow2")
        self.expect("CWDISK1024", source, self.directory / "target.vhdx")

    def test_qcow2_whose_tables_contradict_each_other(self):
        source = self.image("source.qcow2", "qcow2")
        # The first cluster of the only refcount block: from now on nothing is accounted for.
        overwrite(source, 2 * 64 * KIB, bytes(256))
        chain = self.expect("CWDISK1026", source, self.directory / "target.vhdx")
        self.assertGreater(int(chain[0]["MessageArguments"][1]), 0)
        self.assert_only(source.name)

    def test_backing_file_missing(self):
        base = self.image("base.qcow2", "qcow2")
        source = make(
            self.directory / "source.qcow2",
            "create", "-f", "qcow2", "-F", "qcow2", "-b", base, self.directory / "source.qcow2",
        )  # fmt: skip
        base.unlink()
        self.expect("CWDISK1034", source, self.directory / "target.vhdx", code=NOT_FOUND)

    def test_source_is_being_written(self):
        source = self.image("source.vhdx", "vhdx")
        with held_open(source, "vhdx"):
            self.expect("CWDISK1013", source, self.target(), code=IN_USE)
        self.assert_only(source.name)

    # ---- what is wrong with the target

    def test_target_exists(self):
        source, target = self.small_raw(), self.directory / "there.vhd"
        target.write_bytes(b"precious")
        self.expect("CWDISK1103", source, target, mentions=target)
        self.assertEqual(target.read_bytes(), b"precious")

    def test_target_directory_missing(self):
        target = self.directory / "absent" / "target.vhd"
        self.expect("CWDISK1002", self.small_raw(), target, code=NOT_FOUND, mentions=target)

    def test_disk_full_or_file_too_large(self):
        if FULL_KIND == "tmpfs":
            # Larger than the small file system, and half of it is data.
            source = random_image(self.directory / "source.raw", 64 * MIB)
            small = self.empty_file_system()
            self.expect("CWDISK1004", source, small / "target.vhdx", mentions=small / "target.vhdx")
            self.assertEqual(list(small.iterdir()), [], "what did not fit is gone again")
        else:
            source = self.directory / "source.raw"
            source.touch()
            os.truncate(source, int(FULL_VALUE) + 64 * MIB)
            overwrite(source, -MIB, os.urandom(MIB))
            target = self.directory / "target.raw"
            self.expect("CWDISK1006", source, target, FIXED, mentions=target)
        self.assert_only(source.name)

    def empty_file_system(self):
        """The small file system once it is empty.

        The kernel frees the room of a removed file a few milliseconds later when a confined process had it open.
        """

        def empty():
            room = os.statvfs(FULL_VALUE)
            return room.f_bfree == room.f_blocks

        wait_until(empty, "the kernel to free the room of removed files")
        return pathlib.Path(FULL_VALUE)

    def test_no_room_to_allocate_a_fixed_disk(self):
        if FULL_KIND == "tmpfs":
            target, size, message_id = self.empty_file_system() / "target.vhd", 64 * MIB, "CWDISK1005"
        else:
            target, size, message_id = self.directory / "target.raw", int(FULL_VALUE) + 64 * MIB, "CWDISK1006"
        job = self.create_fixed(target, size)
        ended = job.wait()
        self.assertEqual(ended["JobState"], EXCEPTION)
        error = job.error()
        self.assertEqual(error["MessageID"], message_id, error["Message"])
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assertEqual(list(target.parent.iterdir()), [])

    def create_fixed(self, target, size):
        """Starts the creation of a fixed disk in the way of the namespace."""
        if self.namespace == V1:
            parameters = [("Path", str(target)), ("MaxInternalSize", pywbem.Uint64(size))]
            return self.start(self.ada, "CreateFixedVirtualHardDisk", parameters)
        data = settings(target, FIXED, size).tocimxmlstr()
        return self.start(self.ada, "CreateVirtualHardDisk", [("VirtualDiskSettingData", data)])

    # ---- what is wrong with the call

    def test_outside_the_storage_roots(self):
        outside = pathlib.Path(os.environ["INTEROP_SCRATCH"]) / "outside.vhdx"
        self.expect("CWDISK1102", outside, self.target(), code=ACCESS_DENIED)
        self.expect("CWDISK1102", self.small_raw(), outside, code=ACCESS_DENIED, mentions=outside)
        self.assertFalse(outside.exists())

    def test_out_of_the_storage_root_by_dots(self):
        sly = f"{self.directory}/../../../escaped.vhd"
        chain = self.expect("CWDISK1101", self.small_raw(), sly, code=INVALID_PARAMETER, mentions=sly)
        self.assertIn("..", chain[0]["Message"])

    def test_out_of_the_storage_root_by_a_link(self):
        secret = pathlib.Path(os.environ["INTEROP_SCRATCH"]) / f"secret-{self.namespace.count('/')}.raw"
        secret.write_bytes(bytes(MIB))
        link = self.directory / "link.raw"
        link.symlink_to(secret)
        self.expect("CWDISK1003", link, self.target(), code=INVALID_PARAMETER)
        directory = self.directory / "directory"
        directory.symlink_to(secret.parent)
        self.expect("CWDISK1102", directory / secret.name, self.target(), code=ACCESS_DENIED)
        self.expect("CWDISK1102", self.small_raw(), directory / "new.vhd", code=ACCESS_DENIED, mentions=directory)
        self.assertFalse((secret.parent / "new.vhd").exists())

    def test_source_and_target_are_the_same(self):
        source = self.small_raw()
        chain = self.expect("CWDISK1112", source, source, FIXED, code=INVALID_PARAMETER)
        self.assertEqual(len(chain), 1)

    def test_unknown_extension(self):
        self.expect("CWDISK1104", self.directory / "source.txt", self.target(), code=INVALID_PARAMETER)

    def test_unsupported_type(self):
        target = self.target()
        self.expect("CWDISK1106", self.small_raw(), target, kind=5, code=NOT_SUPPORTED, mentions=target)

    def test_all_failures_have_reasons_of_their_own(self):
        """A reason is only worth something if it tells failures apart."""
        missing = self.expect("CWDISK1001", self.directory / "a.vhdx", self.target(), code=NOT_FOUND)
        again = self.expect("CWDISK1001", self.directory / "b.vhdx", self.target(), code=NOT_FOUND)
        self.assertNotEqual(missing[0]["Message"], again[0]["Message"])
        text = self.call(
            self.ada,
            "FormatError",
            [("Errors", [error.tocimxmlstr() for error in missing + again])],
            "Msvm_VirtualSystemManagementService",
        )[1]["ErrorMessage"]
        for error in missing + again:
            self.assertIn(error["Message"], text)


class FailuresV1(Failures, Case):
    namespace = V1


class FailuresV2(Failures, Case):
    namespace = V2

    def test_setting_data_that_is_no_cim_xml(self):
        parameters = [
            ("SourcePath", str(self.small_raw())),
            ("VirtualDiskSettingData", "<INSTANCE CLASSNAME="),
        ]
        self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, self.call, self.ada, "ConvertVirtualHardDisk", parameters)

    def test_the_engine_killed_from_outside(self):
        source = random_image(self.directory / "source.raw", 1024 * MIB)
        job = self.convert(self.ada, source, self.directory / "target.vhdx")
        job.wait_for_percent(3)
        for engine in engines():
            os.kill(engine, signal.SIGKILL)
        ended = job.wait()
        self.assertEqual(ended["JobState"], EXCEPTION)
        error = job.error()
        self.assertEqual(error["MessageID"], "CWDISK1035")
        self.assertEqual(ended["ErrorDescription"], error["Message"])
        self.assert_only(source.name)
