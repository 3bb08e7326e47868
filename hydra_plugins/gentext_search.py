"""The search of `gentext tune` as a sweeper, so that every launcher of Hydra's runs its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Asks for trials, has the launcher run them, and tells what came of each, until there are enough.

    Args:
        trials: how many, those of earlier and other processes on the same search included.
        figures: of the record, as `bits_per_char`, `bleu4:max` or `selfbleu4:0.3`.
        jobs: trials that are launched together.
        prune: end trials that are worse than the median of the others.
        params: keys and what is searched of each, in Hydra's grammar.
    """

    def __init__(
        self, trials: int, figures: Sequence[str], jobs: int, prune: bool, params: Mapping[str, str] | None = None
    ) -> None:
        self.trials, self.figures, self.jobs, self.prune = trials, list(figures), jobs, prune
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from gentext import config, tuning
        from gentext.cli.run import outcomes
        from gentext.results import record, render_table

        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        shared, space = tuning.plan(words)
        family = self.config.hydra.runtime.choices.family
        search = tuning.Search(
            tuning.folder_of(self.config, family, words, self.figures),
            shared,
            space,
            self.figures,
            trials=self.trials,
            seed=self.config.seed,
            prune=self.prune,
        )
        launched = 0
        while batch := search.ask(self.jobs):
            jobs = []
            for trial in batch:
                words = [*shared, *trial.overrides, *_name(trial.number, shared)]
                jobs.append(self._job(config.completed(words), search.environment(trial)))
            done = self.launcher.launch(jobs, initial_job_idx=launched)
            launched += len(batch)
            how = outcomes()
            for trial, job in zip(batch, done, strict=True):
                folder = job.hydra_cfg.hydra.runtime.output_dir
                end = how.get(folder, {"code": 1, "reason": "its process ended without a word"})
                found = record.find([folder]) if not end["code"] and not end.get("pruned") else [None]
                search.tell(trial, found[0], end["reason"], pruned=bool(end.get("pruned")))
            search.write()
        search.write()
        render_table.show(search.table())
        print(f"Trials: {search.folder / 'trials.csv'}")

    @staticmethod
    def _job(overrides: list[str], watch: str) -> list[str]:
        from gentext.tuning import TRIAL

        quoted = watch.replace("\\", "\\\\").replace("'", "\\'")
        return [*overrides, *([f"+hydra.job.env_set.{TRIAL}='{quoted}'"] if watch else [])]


def _name(number: int, shared: Sequence[str]) -> list[str]:
    """What a board calls a trial, whose settings stand in the table of configurations below it."""
    return [] if any(word.startswith("name=") for word in shared) else [f"name='trial {number}'"]
