"""Autobahn's cases, by kosoku, against the server argv[1]; the report into the folder argv[2]; the
cases that fit one of the globs argv[3:]."""

import asyncio
import sys

from kosoku import FailureError, run_fuzzingclient
from kosoku._report import write_reports
from kosoku.cases import CASES


def mended(on_message):
    """Messages that came uncompressed, binary ones as well, reach the cases as `str`, and those of
    the groups 12 and 13 do not encode them before they hash them."""

    def receive(self, message, binary):
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        on_message(self, message, binary)

    return receive


async def main(server, folder, *globs):
    for name, case in CASES.items():
        if name.startswith(("12.", "13.")):
            case.onMessage = mended(case.onMessage)
    try:
        results = await run_fuzzingclient(server, list(globs), None, concurrency=1)
    except FailureError as failure:
        results = failure.results
    write_reports(results, folder, produce_html=False)

    # Strictly: a case that is NON-STRICT or UNIMPLEMENTED has not passed.
    good = ("OK", "INFORMATIONAL")
    failed = [
        result
        for result in results
        if result.behavior.value not in good or result.behavior_close.value not in good
    ]
    for result in failed:
        print(f"{result.case_id}: {result.behavior.value}, close {result.behavior_close.value}")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return not results or bool(failed)


sys.exit(asyncio.run(main(*sys.argv[1:])))
