"""The MOF compilers of pywbem and of Cimwright on the whole schema of the DMTF, where it lies beside the project."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import zipfile

import pywbem
from pywbem._mof_compiler import MOFWBEMConnection

from harness import PATIENCE

#: Version 2.49 of the schema. It is test data that never enters the project.
ARCHIVE = pathlib.Path(os.environ["INTEROP_DATA"]) / "cim_schema_2.49.0Final-MOFs.zip"
ROOT = "cim_schema_2.49.0.mof"


class WholeSchema(unittest.TestCase):
    """Both compilers have to find the same in it."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = pathlib.Path(scratch.name)

    def test_both_compilers_count_the_same(self):
        if not ARCHIVE.is_file():
            print(f"   skipped: {ARCHIVE} is not there")
            return
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(self.directory)
        connection = MOFWBEMConnection()
        compiler = pywbem.MOFCompiler(connection, search_paths=[str(self.directory)], log_func=None)
        compiler.compile_file(str(self.directory / ROOT), "root/cimv2")
        classes = connection.classes["root/cimv2"].values()
        wanted = {
            "classes": len(classes),
            "properties": sum(len(c.properties) for c in classes),
            "methods": sum(len(c.methods) for c in classes),
            "qualifier": len(connection.qualifiers["root/cimv2"]),
            "instances": 0,
        }
        ours = subprocess.run(
            [os.environ["INTEROP_PROGRAM"], "mof", "check", "--strict", str(self.directory / ROOT)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(ours.returncode, 0, ours.stderr)
        found = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", ours.stdout)}
        self.assertEqual(found, wanted)
        self.assertEqual(ours.stderr, "")
