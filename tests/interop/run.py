"""Runs the interoperability tests and says how long each took.

`cargo xtask test` starts a server and calls this with the variables that harness.py reads. Exits with 1 if a test
failed or if there was none to run.
"""

import argparse
import pathlib
import sys
import time
import unittest

import end2end


class TimedResult(unittest.TextTestResult):
    """Prints one line a test, with its time."""

    def __init__(self, stream, descriptions, verbosity):
        super().__init__(stream, descriptions, verbosity)
        self.passed = 0
        self.began = 0.0

    def startTest(self, test):
        unittest.TestResult.startTest(self, test)
        self.began = time.monotonic()

    def tell(self, test, word):
        seconds = time.monotonic() - self.began
        kind = type(test)
        self.stream.writeln(f"   {word:6} {seconds:5.1f} s  {kind.__name__}.{getattr(test, '_testMethodName', test)}")
        self.stream.flush()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.passed += 1
        self.tell(test, "ok")

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.tell(test, "FAILED")

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        self.tell(test, "ERROR")

    def addSubTest(self, test, subtest, err):
        unittest.TestResult.addSubTest(self, test, subtest, err)
        if err is not None:
            self.tell(test, "FAILED")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", help="run only the tests whose name contains this")
    options = parser.parse_args()
    loader = unittest.TestLoader()
    if options.match:
        loader.testNamePatterns = [f"*{options.match}*"]
    here = pathlib.Path(__file__).parent
    suite = loader.discover(str(here), pattern="test_*.py", top_level_dir=str(here))
    began = time.monotonic()
    runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=TimedResult, buffer=False)
    result = runner.run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    # Skipping would hide that something is not tested; no test here does.
    failed += len(result.skipped)
    passed = result.passed
    if not options.match or options.match in "end2end":
        suite_passed, suite_failed = end2end.run()
        passed += suite_passed
        failed += suite_failed
    print(f"\ninterop: {result.testsRun} tests and pywbem's suite in {time.monotonic() - began:.1f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
