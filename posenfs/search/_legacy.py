"""Temporary."""

from types import SimpleNamespace


def legacy(e):
    t, s, c, r = e.training, e.search, e.checkpoints, e.runtime
    return SimpleNamespace(
        strategy=s.strategy,
        epochs=t.epochs,
        batch_size=t.batch_size,
        lr=t.lr,
        lr_drops=t.lr_drops,
        lr_factor=t.lr_factor,
        architecture_lr=s.lr,
        architecture_lr_drops=s.lr_drops,
        architecture_weight_decay=s.weight_decay,
        warmup=s.warmup,
        temperature=s.temperature,
        cost_budget=s.cost_budget,
        cost_weight=s.cost_weight,
        held_out=s.validation_split,
        patience=t.patience,
        judged=t.early_stopping_split,
        accumulate=t.accumulate,
        seed=t.seed,
        crops=t.crops,
        precision=t.precision,
        compile=t.compile,
        recompute=r.recompute,
        log_every=r.log_every,
        checkpoint_every=c.every,
        keep_checkpoints=c.keep,
        checkpoint_gb=c.max_gb,
        lr_at=t.lr_at,
        temperature_at=lambda epoch: s.temperature_at(epoch, t.epochs),
    )
