"""One job of an array, in a process of its own: python3 -m local.pipeline.job ARRAY JOB OPTIONS"""

from __future__ import annotations

import sys

from local.common.errors import OptionError
from local.common.program import run_main
from local.pipeline.options import parse
from local.pipeline.pipeline import ARRAYS, Pipeline


def main() -> None:
    """Do the job, unless it is done."""
    name, title, *options = sys.argv[1:]
    pipeline = Pipeline(parse(options))
    for array in ARRAYS:
        for job in array.jobs(pipeline) if array.name == name else ():
            if job.name == title:
                job.work()
                return
    raise OptionError(f"there is no job '{title}' in an array '{name}'")


if __name__ == "__main__":
    run_main(main)
