"""Every method of Msvm_ImageManagementService that does real work, and the honest refusal of the others."""

import json
import subprocess

import pywbem

from harness import (
    COMPLETED,
    DONE,
    DYNAMIC,
    EXCEPTION,
    FIXED,
    MIB,
    STARTED,
    V1,
    V2,
    VHD,
    VHDX,
    Case,
    Job,
    make,
    parse_instance,
    qemu_img,
    random_image,
    settings,
)

NOT_SUPPORTED = 32770


class Images(Case):
    """Helpers for both namespaces."""

    def run_job(self, method, *parameters):
        """Calls a method and expects its job to succeed; gives the instance of the job."""
        ended = self.start(self.ada, method, list(parameters)).wait()
        self.assertEqual(ended["JobState"], COMPLETED, ended["ErrorDescription"])
        return ended

    def refused(self, method, *parameters):
        """Calls a method that is not supported and expects to be told why."""
        value, output = self.call(self.ada, method, list(parameters))
        self.assertEqual(value, NOT_SUPPORTED, method)
        if "Job" in output:
            job = Job(self.ada, output["Job"])
            self.assertEqual(job.state, EXCEPTION)
            self.assertIn(method, job.error()["Message"])
            self.assertEqual(job.error()["CIMStatusCode"], pywbem.CIM_ERR_NOT_SUPPORTED)
        return output

    def ask(self, method, path, name):
        """Calls a method that answers facts at once."""
        value, output = self.call(self.ada, method, [("Path", str(path))])
        self.assertEqual(value, DONE)
        facts = output[name]
        return facts if isinstance(facts, pywbem.CIMInstance) else parse_instance(facts)

    def virtual_size(self, path, image_format):
        """What the engine says about the size."""
        found = qemu_img("info", "-f", image_format, "--output=json", path)
        self.assertEqual(found.returncode, 0, found.stderr)
        return json.loads(found.stdout)["virtual-size"]

    def assert_allocated(self, path, size):
        """A fixed disk has all its room."""
        self.assertGreaterEqual(path.stat().st_blocks * 512, size)


class ImagesV1(Images):
    namespace = V1

    def test_create_dynamic(self):
        path = self.directory / "disk.vhd"
        ended = self.run_job(
            "CreateDynamicVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(100 * MIB))
        )
        self.assertEqual(ended["Type"], 1)
        self.assertEqual(self.virtual_size(path, "vpc"), 100 * MIB)
        self.assertLess(path.stat().st_blocks * 512, MIB)

    def test_create_fixed(self):
        path = self.directory / "disk.vhd"
        self.run_job("CreateFixedVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(20 * MIB)))
        self.assertEqual(self.virtual_size(path, "vpc"), 20 * MIB)
        self.assert_allocated(path, 20 * MIB)

    def test_create_floppy(self):
        path = self.directory / "disk.vfd"
        ended = self.run_job("CreateVirtualFloppyDisk", ("Path", str(path)))
        self.assertEqual(ended["Type"], 2)
        self.assertEqual(path.stat().st_size, 1440 * 1024)

    def test_expand(self):
        raw = random_image(self.directory / "content.raw", 16 * MIB)
        path = self.directory / "disk.vhd"
        self.convert(self.ada, raw, path).wait()
        self.run_job("ExpandVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(24 * MIB)))
        self.assertEqual(self.virtual_size(path, "vpc"), 24 * MIB)
        with open(raw, "r+b") as file:
            file.truncate(24 * MIB)
        self.assert_same_content(raw, "raw", path, "vpc")
        self.assert_only(raw.name, path.name)

    def test_expand_does_not_shrink(self):
        path = self.directory / "disk.vhd"
        self.run_job("CreateDynamicVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(8 * MIB)))
        value, output = self.call(
            self.ada, "ExpandVirtualHardDisk", [("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(4 * MIB))]
        )
        self.assertEqual(value, 32773)
        self.assertEqual(Job(self.ada, output["Job"]).error()["MessageID"], "CWDISK1033")

    def test_compact(self):
        compact(self, self.directory / "disk.vhd", "vpc")

    def test_validate(self):
        path = self.directory / "disk.vhd"
        self.run_job("CreateDynamicVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(8 * MIB)))
        ended = self.run_job("ValidateVirtualHardDisk", ("Path", str(path)))
        self.assertEqual(ended["Type"], 9)

    def test_info(self):
        path = self.directory / "disk.vhd"
        self.run_job("CreateFixedVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(8 * MIB)))
        facts = self.ask("GetVirtualHardDiskInfo", path, "Info")
        self.assertEqual(facts.classname, "Msvm_VirtualHardDiskInfo")
        self.assertEqual(facts["Type"], FIXED)
        self.assertEqual(facts["MaxInternalSize"], 8 * MIB)
        self.assertEqual(facts["FileSize"], path.stat().st_size)
        self.assertFalse(facts["InUse"])
        self.assertFalse(facts["InSavedState"])

    def test_what_is_not_supported_says_so(self):
        path = str(self.directory / "disk.vhd")
        parent = str(self.directory / "parent.vhd")
        self.refused("MergeVirtualHardDisk", ("SourcePath", path), ("DestinationPath", parent))
        self.refused("CreateDifferencingVirtualHardDisk", ("Path", path), ("ParentPath", parent))
        self.refused("ReconnectParentVirtualHardDisk", ("ChildPath", path), ("ParentPath", parent), ("Force", False))
        self.refused("Mount", ("Path", path))
        self.refused("Unmount", ("Path", path))
        self.assert_only()


class ImagesV2(Images):
    namespace = V2

    def create(self, path, size, kind=DYNAMIC, **more):
        return self.run_job(
            "CreateVirtualHardDisk", ("VirtualDiskSettingData", settings(path, kind, size, **more).tocimxmlstr())
        )

    def test_create_from_a_string(self):
        path = self.directory / "disk.vhdx"
        ended = self.create(path, 100 * MIB)
        self.assertEqual(ended["JobType"], 1)
        self.assertEqual(self.virtual_size(path, "vhdx"), 100 * MIB)

    def test_create_from_an_embedded_object(self):
        path = self.directory / "disk.vhdx"
        self.run_job("CreateVirtualHardDisk", ("VirtualDiskSettingData", settings(path, DYNAMIC, 64 * MIB)))
        self.assertEqual(self.virtual_size(path, "vhdx"), 64 * MIB)

    def test_create_every_kind(self):
        for suffix, image_format, kind in (
            (".vhd", "vpc", FIXED),
            (".vhd", "vpc", DYNAMIC),
            (".vhdx", "vhdx", FIXED),
            (".vhdx", "vhdx", DYNAMIC),
            (".qcow2", "qcow2", DYNAMIC),
            (".raw", "raw", FIXED),
        ):
            with self.subTest(suffix=suffix, kind=kind):
                path = self.directory / f"disk{kind}{suffix}"
                self.create(path, 16 * MIB, kind)
                self.assertEqual(self.virtual_size(path, image_format), 16 * MIB)
                if kind == FIXED:
                    self.assert_allocated(path, 16 * MIB)

    def test_create_floppy(self):
        path = self.directory / "disk.vfd"
        ended = self.run_job("CreateVirtualFloppyDisk", ("Path", str(path)))
        self.assertEqual(ended["JobType"], 2)
        self.assertEqual(path.stat().st_size, 1440 * 1024)

    def test_resize_larger_and_smaller(self):
        raw = random_image(self.directory / "content.raw", 16 * MIB)
        path = self.directory / "disk.vhdx"
        self.convert(self.ada, raw, path).wait()
        for size in (64 * MIB, 32 * MIB):
            ended = self.run_job("ResizeVirtualHardDisk", ("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(size)))
            self.assertEqual(ended["JobType"], 4)
            self.assertEqual(self.virtual_size(path, "vhdx"), size)
            with open(raw, "r+b") as file:
                file.truncate(size)
            self.assert_same_content(raw, "raw", path, "vhdx")
        self.assert_only(raw.name, path.name)

    def test_resize_never_cuts_off_data(self):
        raw = random_image(self.directory / "content.raw", 16 * MIB)
        path = self.directory / "disk.vhdx"
        self.convert(self.ada, raw, path).wait()
        value, output = self.call(
            self.ada, "ResizeVirtualHardDisk", [("Path", str(path)), ("MaxInternalSize", pywbem.Uint64(8 * MIB))]
        )
        self.assertIn(value, (STARTED, 32775))
        job = Job(self.ada, output["Job"])
        self.assertEqual(job.wait()["JobState"], EXCEPTION)
        self.assertEqual(job.error()["MessageID"], "CWDISK1110")
        self.assert_same_content(raw, "raw", path, "vhdx")
        self.assert_only(raw.name, path.name)

    def test_compact(self):
        compact(self, self.directory / "disk.vhdx", "vhdx", ("Mode", pywbem.Uint16(0)))

    def test_validate_good_and_bad(self):
        path = self.directory / "disk.vhdx"
        self.create(path, 16 * MIB)
        ended = self.run_job("ValidateVirtualHardDisk", ("Path", str(path)))
        self.assertEqual(ended["JobType"], 9)
        bad = self.directory / "bad.vhdx"
        bad.write_bytes(b"no image at all" * 1000)
        job = self.start(self.ada, "ValidateVirtualHardDisk", [("Path", str(bad))])
        self.assertEqual(job.wait()["JobState"], EXCEPTION)
        self.assertEqual(job.error()["MessageID"], "CWDISK1014")

    def test_setting_data(self):
        for suffix, image_format, kind in ((".vhd", VHD, FIXED), (".vhdx", VHDX, DYNAMIC)):
            path = self.directory / f"disk{suffix}"
            self.create(path, 16 * MIB, kind)
            facts = self.ask("GetVirtualHardDiskSettingData", path, "SettingData")
            self.assertEqual(facts.classname, "Msvm_VirtualHardDiskSettingData")
            self.assertEqual(facts["Path"], str(path))
            self.assertEqual(facts["Type"], kind)
            self.assertEqual(facts["Format"], image_format)
            self.assertEqual(facts["MaxInternalSize"], 16 * MIB)
            self.assertEqual(facts["LogicalSectorSize"], 512)

    def test_setting_data_can_be_sent_back(self):
        """What the server answers is good enough to make another disk from."""
        path = self.directory / "disk.vhdx"
        self.create(path, 16 * MIB)
        facts = self.ask("GetVirtualHardDiskSettingData", path, "SettingData")
        facts["Path"] = str(self.directory / "again.vhdx")
        del facts["VirtualDiskId"]
        facts["PhysicalSectorSize"] = pywbem.Uint32(0)
        self.run_job("CreateVirtualHardDisk", ("VirtualDiskSettingData", facts.tocimxmlstr()))
        self.assertEqual(self.virtual_size(self.directory / "again.vhdx", "vhdx"), 16 * MIB)

    def test_state(self):
        raw = random_image(self.directory / "content.raw", 16 * MIB)
        # How much of it is in use is something the engine can tell of a VHD but not of a VHDX.
        for name, least in (("disk.vhd", 16 * MIB), ("disk.vhdx", None)):
            path = self.directory / name
            self.convert(self.ada, raw, path).wait()
            facts = self.ask("GetVirtualHardDiskState", path, "State")
            self.assertEqual(facts.classname, "Msvm_VirtualHardDiskState")
            self.assertEqual(facts["FileSize"], path.stat().st_size)
            self.assertFalse(facts["InUse"])
            self.assertEqual(facts["MinInternalSize"], least, name)

    def test_what_is_not_supported_says_so(self):
        path = str(self.directory / "disk.vhdx")
        parent = str(self.directory / "parent.vhdx")
        self.refused("MergeVirtualHardDisk", ("SourcePath", path), ("DestinationPath", parent))
        self.refused("SetParentVirtualHardDisk", ("ChildPath", path), ("ParentPath", parent))
        self.refused("AttachVirtualHardDisk", ("Path", path), ("AssignDriveLetter", False), ("ReadOnly", True))
        self.refused("ConvertVirtualHardDiskToVHDSet", ("VirtualHardDiskPath", path))
        differencing = settings(path, 4, ParentPath=parent)
        value, output = self.call(
            self.ada, "CreateVirtualHardDisk", [("VirtualDiskSettingData", differencing.tocimxmlstr())]
        )
        self.assertEqual(value, NOT_SUPPORTED)
        self.assertEqual(Job(self.ada, output["Job"]).error()["MessageID"], "CWDISK1107")
        self.assert_only()

    def test_a_call_that_misses_something_is_told_what(self):
        for data, word in (
            (pywbem.CIMInstance("Msvm_VirtualHardDiskSettingData", {"Type": pywbem.Uint16(3)}), "Path"),
            (settings(self.directory / "disk.vhdx"), "MaxInternalSize"),
        ):
            value, output = self.call(
                self.ada, "CreateVirtualHardDisk", [("VirtualDiskSettingData", data.tocimxmlstr())]
            )
            self.assertEqual(value, 32773)
            error = Job(self.ada, output["Job"]).error()
            self.assertEqual(error["MessageID"], "CWDISK1113")
            self.assertIn(word, error["Message"])


def compact(test, path, image_format, *more):
    """Fills an image, empties it again, and expects compacting to give the room back."""
    raw = random_image(test.directory / "content.raw", 32 * MIB)
    make(path, "convert", "-f", "raw", "-O", image_format, *options(image_format), raw, path)
    full = path.stat().st_blocks
    # Zeros written over the data do not give its room back by themselves.
    zeroed = qemu_io(image_format, path, 24 * MIB)
    test.assertEqual(zeroed.returncode, 0, zeroed.stderr)
    ended = test.run_job("CompactVirtualHardDisk", ("Path", str(path)), *more)
    test.assertEqual(ended["Type" if test.namespace == V1 else "JobType"], 3)
    test.assertLess(path.stat().st_blocks, full * 2 // 3)
    with open(raw, "r+b") as file:
        file.write(bytes(24 * MIB))
    test.assert_same_content(raw, "raw", path, image_format)
    test.assert_only(raw.name, path.name)


def options(image_format):
    """What keeps the engine from rounding the size of a VHD."""
    return ("-o", "force_size=on") if image_format == "vpc" else ()


def qemu_io(image_format, path, size):
    """Writes zeros as data at the beginning of an image."""
    return subprocess.run(
        ["qemu-io", "-f", image_format, "-c", f"write -P 0 0 {size}", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
