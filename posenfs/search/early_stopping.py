"""Early stopping: the best epoch so far, and whether a search ends."""


class EarlyStopping:
    """Scores of the epochs, by training step.

    Args:
        patience: Epochs without a better score before the search ends; None: it never ends early.
        steps_per_epoch: Training steps in an epoch.
        scores: The primary metric of each evaluation so far, by step.
    """

    def __init__(self, patience: int | None, steps_per_epoch: int, scores: dict[int, float]):
        self.patience, self._steps_per_epoch = patience, steps_per_epoch
        self.scores = scores

    @property
    def best_step(self) -> int | None:
        """The step of the best score, the first of equal ones; None before the first evaluation."""
        return max(self.scores, key=lambda step: self.scores[step], default=None)

    @property
    def chosen_step(self) -> int | None:
        """The step whose network is the result; None: that of the last step."""
        return None if self.patience is None else self.best_step

    def ends_at(self, step: int) -> bool:
        """Whether the search ends at a step."""
        chosen = self.chosen_step
        if self.patience is None or chosen is None:
            return False
        return step >= chosen + self.patience * self._steps_per_epoch
