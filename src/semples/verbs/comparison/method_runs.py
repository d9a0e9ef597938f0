"""Runs and scores the chosen methods of a comparison on one seed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from semples.errors import ConfigError, ModelError
from semples.records import Dataset
from semples.rundir.layout import RunDirectory
from semples.runtime.context import Run
from semples.stages.evaluation import score_masks
from semples.stages.pipeline import STAGES, open_manifest, run_stages
from semples.verbs.comparison.methods import METHODS, Method, why_left_out
from semples.verbs.comparison.scores import RowScores, RunScores, run_extra, score_stage
from semples.verbs.comparison.sharing import run_with_settings, share_stages, variant_run
from semples.verbs.comparison.yardstick import Yardstick, learned_words

Progress = Callable[[object], None]

_STAGE_OF = {stage.name: stage for stage in STAGES} | {
    method.extra.name: method.extra for method in METHODS.values() if method.extra
}


class MethodScorer:
    """Runs or reuses the chosen methods, seed after seed; what is finished in one row or seed serves all others.

    Rows with the settings of the comparison share one run directory, start from the same classifier and train for
    equally long. Rows with settings of their own have theirs in ``variants/``.

    Args:
        chosen: Names of methods.
        yardstick: Right words of the classes; None if they are unknown.
        same_images: Whether all seeds have the same images: rows that are not random are then run once.
        quiet: Print nothing on standard error.
    """

    def __init__(
        self, chosen: Collection[str], yardstick: Yardstick | None, same_images: bool, quiet: bool = False
    ) -> None:
        self.methods = {name: method for name, method in METHODS.items() if name in chosen}
        self.yardstick, self.same_images, self.quiet = yardstick, same_images, quiet
        self._first: tuple[Dataset, RunScores] | None = None
        self._directories: list[RunDirectory] = []

    def __call__(self, run: Run, report_progress: Progress) -> RunScores:
        """Score the methods on one run.

        Raises:
            ConfigError: The yardstick has a class that the images do not have.
        """
        if self.yardstick:
            self.yardstick.require_classes(run.dataset.catalogue.names)
        first = self._first_scores(run)
        once = first.run_once if first else ()
        fresh = {name: method for name, method in self.methods.items() if name not in once}
        needed = [method.until for method in fresh.values() if method.until and not method.is_separate]
        if needed:
            order = [stage.name for stage in STAGES]
            run_stages(run, until=max(needed, key=order.index), listener=report_progress)
        sources = [*self._directories] if self.same_images else []
        rows: dict[str, RowScores | None] = {}
        remarks, bound = [], None
        seen: set[tuple[str, str | None]] = set()
        for name, method in self.methods.items():
            if name in once and first is not None:
                rows[name] = first.rows[name]
                continue
            reason = why_left_out(name, run)
            if reason is not None:
                remarks.append(f"{name} is left out: {reason}")
                continue
            if method.extra is not None:
                run_extra(method.extra, run_with_settings(run, method.settings), report_progress)
            if name == "supervised-bound":
                predictions = run.directory.held_out_predictions(method.stage)
                bound = (score_masks(run, "val", predictions, method.stage) or {})["miou"]
                continue
            try:
                row_run = self._row_run(name, method, run, sources, report_progress)
            except (ConfigError, ModelError) as error:
                if not method.is_separate:
                    raise
                remarks.append(f"{name} is left out: {error}")
                continue
            sources = [*sources, row_run.directory]
            rows[name] = self._row(name, method, row_run, seen, report_progress)
        run_once = tuple(name for name in rows if self._is_run_once(name, run))
        scores = RunScores(rows, bound, tuple(remarks), run_once)
        if self._first is None:
            self._first = (run.dataset, scores)
        self._directories = sources
        return scores

    def _first_scores(self, run: Run) -> RunScores | None:
        """Return the scores of the first seed, if this one has the same images."""
        if not self.same_images or self._first is None:
            return None
        dataset, scores = self._first
        return scores if dataset == run.dataset else None

    def _is_run_once(self, name: str, run: Run) -> bool:
        return self.same_images and not self.methods[name].is_random(run.config)

    def _row_run(
        self, name: str, method: Method, run: Run, sources: Sequence[RunDirectory], report_progress: Progress
    ) -> Run:
        """Return the run of a row, with the stages that it needs."""
        if not method.is_separate:
            return run
        report_progress(name)
        own = variant_run(run, method.settings, name, self.quiet)
        if own is not run:
            share_stages(list(dict.fromkeys([run.directory, *sources])), own)
        run_stages(own, until=method.until, listener=report_progress)
        return own

    def _row(
        self, name: str, method: Method, run: Run, seen: set[tuple[str, str | None]], report_progress: Progress
    ) -> RowScores | None:
        # The thresholds of a row that is run once cannot depend on the prompts of one of several seeds.
        shares_prompts = "full" in self.methods and not method.is_separate and not self._is_run_once(name, run)
        scores = score_stage(run, method.stage, method.learns_prompts or shares_prompts, report_progress)
        seconds = _own_seconds(run, method.stage, seen)
        if scores is None:
            return None
        if not method.learns_prompts:
            return RowScores(scores["cams"], scores["masks"], seconds)
        nearest = self.yardstick.nearest(run) if self.yardstick else None
        right = self.yardstick.count(nearest) if self.yardstick and nearest is not None else None
        return RowScores(scores["cams"], scores["masks"], seconds, learned_words(run), nearest, right)


def _own_seconds(run: Run, stage: str, seen: set[tuple[str, str | None]]) -> float:
    """Return the duration of a stage and of those that it needs, without results that an earlier row has counted."""
    manifest, seconds = open_manifest(run), 0.0
    for name in dict.fromkeys(_with_needs(stage)):
        entry = manifest.entry(name)
        if entry is not None and (name, entry.digest) not in seen:
            seen.add((name, entry.digest))
            seconds += entry.seconds or 0.0
    return round(seconds, 1)


def _with_needs(stage: str) -> Iterator[str]:
    for needed in _STAGE_OF[stage].needs:
        yield from _with_needs(needed)
    yield stage
