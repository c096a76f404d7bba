"""A pool of forked workers, as Celery has: each line of input is a job for one of them.

A job is a JSON list: number of the worker, name of the job, its arguments. The answer is a
JSON value, an error is a text that begins with "!".
"""

import asyncio
import json
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "live_settings")
django.setup()

from live.schema import OnNews  # noqa: E402 (after `setup`)

WORKERS = 2


def broadcast(room, *texts):
    """Broadcast as a task or a view does that is an ordinary function."""
    for text in texts:
        OnNews.broadcast(group=room, payload=text)


def numbers(room, count):
    for number in range(count):
        OnNews.broadcast(group=room, payload=str(number))


def broadcast_async(room, *texts):
    """Broadcast as an async view does that is served over WSGI: its event loop ends at once."""

    async def view():
        broadcast(room, *texts)

    asyncio.run(view())


def end(room):
    OnNews.unsubscribe(group=room)


JOBS = {job.__name__: job for job in (broadcast, broadcast_async, numbers, end)}


def work(jobs: Connection, parent: int) -> None:
    # The parent may be killed, and its ends of the pipes live on in the other workers.
    while os.getppid() == parent:
        if not jobs.poll(timeout=0.1):
            continue
        name, *arguments = jobs.recv()
        try:
            JOBS[name](*arguments)
            jobs.send("done")
        except Exception as error:  # noqa: BLE001 (the test is told)
            jobs.send(f"!{type(error).__name__}: {error}")


def main() -> None:
    # The parent uses the channel layer, too, so its event loop and thread are there to fork.
    OnNews.broadcast(group="nobody is there", payload="")
    fork = multiprocessing.get_context("fork")
    pipes = []
    for _ in range(WORKERS):
        ours, theirs = fork.Pipe()
        fork.Process(target=work, args=(theirs, os.getpid()), daemon=True).start()
        pipes.append(ours)
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    for line in sys.stdin:
        worker, *job = json.loads(line)
        pipes[worker].send(job)
        sys.stdout.write(json.dumps(pipes[worker].recv()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
