"""Autobahn's cases, by kosoku: against the server argv[2] (argv[1] is `server`), or as the server that the
program argv[2] connects to (`client`). The report goes into the folder argv[3]; the cases are those that
fit one of the globs argv[4:]."""

import asyncio
import sys

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver
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


async def against_server(url, globs):
    return await run_fuzzingclient(url, globs, None, concurrency=2)


# Here the suite's server wants the client to forget its window, and takes only offers which say that it
# will, where RFC 7692 section 7.1.1.2 would let it ask anybody. Everywhere else the window is kept.
FORGETFUL = ("13.2.*", "13.5.*", "13.6.*")


async def against_client(program, globs):
    results = []
    for arguments, chosen, excluded in (
        ([], globs, FORGETFUL),
        (["forgetful"], [glob for glob in FORGETFUL if "13.*" in globs], ()),
    ):
        if not chosen:
            continue
        try:
            results += await served(program, arguments, list(chosen), list(excluded))
        except FailureError as failure:
            results += failure.results
    return results


async def served(program, arguments, chosen, excluded):
    async with run_fuzzingserver(chosen, excluded, port=0) as server:
        address = f"{server.address}:{server.port}"
        client = await asyncio.create_subprocess_exec(program, address, *arguments)
        results = asyncio.ensure_future(server.get_result())
        # A client that fails never asks for the verdicts.
        if await client.wait() != 0:
            results.cancel()
            sys.exit(f"{program} failed")
        return await results


async def main(peer, address, folder, *globs):
    for name, case in CASES.items():
        if name.startswith(("12.", "13.")):
            case.onMessage = mended(case.onMessage)
    run = {"client": against_client, "server": against_server}[peer]
    try:
        results = await run(address, list(globs))
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
    informational = sum(result.behavior.value == "INFORMATIONAL" for result in results)
    print(
        f"{len(results) - len(failed)} passed, {informational} of them informational, "
        f"{len(failed)} failed"
    )
    return not results or bool(failed)


sys.exit(asyncio.run(main(*sys.argv[1:])))
