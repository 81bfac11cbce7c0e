"""An executor for tests."""

from posenfs.search.experiment import Experiment
from posenfs.search.run_writer import dump_json
from posenfs.search.session import Search


class InProcessExecutor:
    """An executor that searches in this process and fails for the strategies in `broken`."""

    def __init__(self, broken=()):
        self.broken, self.done, self.stopped = broken, [], False

    def run(self, jobs, poll):
        for job in jobs:
            poll()
            experiment = Experiment.from_json(job.experiment)
            if experiment.search.strategy in self.broken:
                job.folder.mkdir(parents=True, exist_ok=True)
                status = {"state": "failed", "error": "broken on purpose"}
                (job.folder / "config.json").write_text(job.experiment)
                dump_json(job.folder / "status.json", status)
                yield job.key, "broken on purpose"
                continue
            search = Search(experiment, device="cpu", progress=False)
            search.finish()
            search.close()
            self.done.append(job.key)
            yield job.key, None

    def stop(self):
        self.stopped = True
