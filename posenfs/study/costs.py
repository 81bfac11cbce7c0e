"""The cost columns of Tables II to VIII: printed, by the paper's counting rules, and measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn
from tqdm import tqdm

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.data.geometry import ImageSize
from posenfs.model.backbones.fabric import FABRIC_1, FABRIC_2, FABRIC_3, FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.mobilenet_v2 import MobileNetV2
from posenfs.model.backbones.resnet import ResNet50
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.cost import PaperCost, module_costs, summary_cost, thop_cost
from posenfs.model.latency import measure_latency
from posenfs.model.memory import training_memory
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import find_run
from posenfs.search.saved_models import load_model

_MPII_SIZE, _COCO_SIZE = ImageSize(256, 256), ImageSize(384, 288)


@dataclass(frozen=True)
class CostItem:
    """A network whose cost the paper prints.

    Attributes:
        where: The table and row of the paper.
        build: Builds the network.
        size: Size of its input, px.
        params_m: Printed parameters in millions; None where the paper prints none.
        gflops: Printed multiply-adds in the paper's billions; None where it prints none.
        note: Where the printed numbers deviate, why.
        rule: The counting rule of the paper that gives these numbers.
    """

    where: str
    build: Callable[[], nn.Module]
    size: ImageSize = _MPII_SIZE
    params_m: float | None = None
    gflops: float | None = None
    note: str = ""
    rule: Callable[[nn.Module, int, int], PaperCost] = summary_cost


def _searched(
    parts: int = 3,
    backbone: Callable[[], nn.Module] = MobileNetV2,
    skeleton: Skeleton = MPII,
    vector_dim: int = 8,
    **spec: int,
) -> Callable[[], nn.Module]:
    return lambda: PoseNFS(backbone(), part_scheme(skeleton, parts), FabricSpec(**spec), vector_dim)


def _whole(network: Callable[..., nn.Module], **options: int) -> Callable[[], nn.Module]:
    return lambda: network(part_scheme(MPII, 1), **options)


_TRANSPOSED = "the paper's rule counts transposed convolutions four times"
_UNEXPLAINED = "no rule gives the printed parameters"

ITEMS: dict[str, CostItem] = {
    "t2_p3": CostItem("II", _searched(), params_m=3.3, gflops=1.2),
    "t4_d1": CostItem("IV, d = 1", _searched(vector_dim=1), params_m=3.3, gflops=1.1),
    "t4_d4": CostItem(
        "IV, d = 4", _searched(vector_dim=4), params_m=3.3, gflops=1.1,
        note="1.154 by the paper's rule rounds to 1.2"
    ),
    "t4_d16": CostItem("IV, d = 16", _searched(vector_dim=16), params_m=3.3, gflops=1.2),
    "t3_p1": CostItem("III, P = 1", _searched(1)),
    "t3_p5": CostItem("III, P = 5", _searched(5)),
    "t3_p8": CostItem("III, P = 8", _searched(8)),
    "mobilenet_v2": CostItem("backbone", MobileNetV2, params_m=1.3),
    "resnet50": CostItem("backbone", ResNet50, params_m=23.5),
    "hrnet_w32_stage3": CostItem("backbone", HRNet, params_m=8.1),
    "fabric_1": CostItem("VIII", lambda: FabricBackbone(FABRIC_1), params_m=5.8),
    "fabric_2": CostItem(
        "VIII", lambda: FabricBackbone(FABRIC_2), params_m=6.8, note=f"{_UNEXPLAINED} (1.9 % off)"
    ),
    "fabric_3": CostItem(
        "VIII", lambda: FabricBackbone(FABRIC_3), params_m=10.5, note=f"{_UNEXPLAINED} (9 % off)"
    ),
    "ours_a": CostItem("V", _searched(hidden_nodes=2), ImageSize(384, 384), 5.2, 4.6),
    "ours_b": CostItem(
        "V, VI", _searched(5, HRNet, width=16), params_m=16.4, gflops=9.4,
        note="the printed numbers are those of 256 x 256; the text says 384",
    ),
    "ours_c": CostItem(
        "VI", _searched(3, HRNet, width=12, hidden_nodes=2), params_m=12.9, gflops=8.3,
        note=_UNEXPLAINED,
    ),
    "branchnet_1": CostItem(
        "VI", lambda: Branchnet(HRNet(), part_scheme(MPII, 3), 400), params_m=12.8, gflops=23.7
    ),
    "branchnet_2": CostItem(
        "VI", lambda: Branchnet(HRNet(), part_scheme(MPII, 5), 296), params_m=12.6, gflops=22.8
    ),
    "ours_1": CostItem("VII", _searched(skeleton=COCO, width=16), _COCO_SIZE, 6.1, 4.0),
    "ours_2": CostItem(
        "VII", _searched(backbone=ResNet50, skeleton=COCO), _COCO_SIZE, 27.5, 11.4,
        "counted by another tool, thop, which gives numbers of batch-norms twice", thop_cost,
    ),
    "ours_3": CostItem(
        "VII", _searched(5, HRNet, COCO, width=16), _COCO_SIZE, 15.8, 14.8,
        "printed after pruning; here before it",
    ),
    "simple_baseline_50": CostItem(
        "IV", _whole(SimpleBaseline), params_m=34.0, gflops=12.0,
        note=_TRANSPOSED,
    ),
    "simple_baseline_50_coco": CostItem(
        "VII", lambda: SimpleBaseline(part_scheme(COCO, 1)), ImageSize(256, 192), 34.0, 8.9,
        f"{_TRANSPOSED}; printed beside 384 x 288 networks, it is the cost at 256 x 192",
    ),
    "simple_baseline_50_vector8": CostItem(
        "IV", _whole(SimpleBaseline, vector_dim=8), params_m=34.0, gflops=12.1, note=_TRANSPOSED
    ),
    "simple_baseline_152": CostItem(
        "VI", _whole(SimpleBaseline, depth=152), params_m=68.6, gflops=20.9, note=_TRANSPOSED
    ),
    "hrnet_w32": CostItem(
        "IV", _whole(HRNetPose), params_m=28.5, gflops=9.5,
        note="Table VI prints 27.8M for the same network"
    ),
    "hrnet_w32_vector8": CostItem("IV", _whole(HRNetPose, vector_dim=8), params_m=28.5, gflops=9.6),
}  # fmt: skip


def chosen_items(names: Sequence[str]) -> dict[str, CostItem]:
    """Return the networks with the given names.

    Args:
        names: Names in ITEMS, of runs, or folders of saved models; none: all of ITEMS.

    Raises:
        ValueError: A name is none of these.
    """
    return {name: ITEMS[name] if name in ITEMS else _saved(name) for name in names or ITEMS}


def _saved(name: str) -> CostItem:
    try:
        run = find_run(name)
    except RunError:
        raise ValueError(
            f"{name!r} is neither a run nor a model's folder, nor one of: {', '.join(ITEMS)}"
        ) from None
    saved = load_model(run)
    return CostItem("", lambda: saved.model, saved.experiment.image_size)


def cost_rows(
    items: Mapping[str, CostItem] = ITEMS, modules: bool = False, progress: bool = False
) -> list[dict]:
    """Count parameters and multiply-adds of networks.

    Args:
        items: The networks by name.
        modules: Whether to return the cost of each module, too.
        progress: Whether to show a progress bar.

    Returns:
        For each network: item, params and gmac (measured), params_paper_rule and gflops_paper_rule
        (by the paper's counting rule), paper_params_m and paper_gflops (printed), note; and
        `modules`: module, params, multiply_adds of each.
    """
    rows = []
    networks = tqdm(items.items(), "counting", unit="network", disable=not progress, leave=False)
    for name, item in networks:
        with torch.device("meta"):  # only shapes are needed
            model = item.build()
        costs, paper = module_costs(model, *item.size), item.rule(model, *item.size)
        row: dict[str, object] = {
            "item": name,
            "params": costs[""].params,
            "gmac": costs[""].gmac,
            "params_paper_rule": paper.params,
            "gflops_paper_rule": paper.gflops,
            "paper_params_m": item.params_m,
            "paper_gflops": item.gflops,
            "note": item.note,
        }
        if modules:
            row["modules"] = [
                {"module": module, "params": cost.params, "multiply_adds": cost.multiply_adds}
                for module, cost in costs.items()
            ]
        rows.append(row)
    return rows


def measured_rows(
    items: Mapping[str, CostItem], batch_sizes: Sequence[int], device: torch.device
) -> list[list[dict]]:
    """Measure forward passes of networks in eval mode, and estimate the memory of training.

    Args:
        items: The networks by name.
        batch_sizes: Images in a batch.
        device: The device of the measurement.

    Returns:
        For each network and batch size: batch_size, median_s, low_s and high_s (10th and 90th
        percentile), images_per_s, and training_bytes (a training step in float32).
    """
    measurements = []
    for item in items.values():
        model = item.build()
        memory = [training_memory(model, size, *item.size).total for size in batch_sizes]
        model = model.to(device, memory_format=torch.channels_last)
        latencies = measure_latency(model, batch_sizes, *item.size)
        measurements.append(
            [
                {
                    "training_bytes": training_bytes,
                    **asdict(latency),
                    "images_per_s": latency.images_per_s,
                }
                for training_bytes, latency in zip(memory, latencies, strict=True)
            ]
        )
    return measurements


def module_text(modules: Sequence[Mapping]) -> str:
    """Format modules as a table, with the share of each in all multiply-adds.

    Args:
        modules: The `modules` of a row of `cost_rows`. Names of more than three parts are left out.
    """
    total = modules[0]["multiply_adds"]
    lines = [f"{'module':44} {'parameters':>12} {'multiply-adds':>15} {'share':>7}"]
    for module in modules:
        name, multiply_adds = module["module"], module["multiply_adds"]
        if name.count(".") < 3:
            share = multiply_adds / total
            lines.append(
                f"{name or '(all)':44} {module['params']:12,} {multiply_adds:15,} {share:7.1%}"
            )
    return "\n".join(lines)


def measured_text(rows: Sequence[Mapping], measured: Sequence[Sequence[Mapping]]) -> str:
    """Format measurements as a table.

    Args:
        rows: What `cost_rows` returns.
        measured: What `measured_rows` returns for the same networks.
    """
    lines = [
        f"{'item':27} {'batch':>5} {'training step':>14} "
        f"{'forward pass: median (10-90 %)':>32} {'images/s':>9}"
    ]
    for row, measurements in zip(rows, measured, strict=True):
        for m in measurements:
            low, median, high = (1e3 * m[name] for name in ("low_s", "median_s", "high_s"))
            times = f"{median:.1f} ms ({low:.1f}-{high:.1f})"
            memory = f"{m['training_bytes'] / 2**20:.0f} MiB"
            lines.append(
                f"{row['item']:27} {m['batch_size']:5} {memory:>14} {times:>32} "
                f"{m['images_per_s']:9.1f}"
            )
    lines.append(
        "training step: estimated memory, float32; forward pass: measured here, warm, eval mode"
    )
    return "\n".join(lines)


def cost_text(rows: Sequence[Mapping], items: Mapping[str, CostItem] = ITEMS) -> str:
    """Format costs as a table: printed, by the paper's rule, their difference, and measured.

    Args:
        rows: What `cost_rows` returns.
        items: The networks by name.
    """
    columns = f"{'paper':>6} {'rule':>7} {'diff':>7} {'honest':>8}"
    lines = [
        f"{'':27} {'':10} {'':10} | {'parameters, M':^31} | {'multiply-adds, G':^31} |",
        f"{'item':27} {'table':10} {'input px':>10} | {columns} | {columns} | note",
    ]
    for row in rows:
        item = items[row["item"]]
        size = f"{item.size.height} x {item.size.width}"
        params = _columns(
            row["paper_params_m"], row["params_paper_rule"] / 1e6, row["params"] / 1e6
        )
        multiply_adds = _columns(row["paper_gflops"], row["gflops_paper_rule"], row["gmac"])
        line = f"{row['item']:27} {item.where:10} {size:>10} | {params} | {multiply_adds}"
        lines.append(f"{line} | {row['note']}".rstrip(" |"))
    lines.append(
        "rule: the paper's way of counting, recomputed (parameters of some operations twice; "
        "billions of 1024^3); honest: measured, every parameter in use once; 1e9"
    )
    return "\n".join(lines)


def _columns(printed: float | None, rule: float, measured: float) -> str:
    if printed is None:
        return f"{'-':>6} {rule:7.3f} {'-':>7} {measured:8.3f}"
    return f"{printed:6.1f} {rule:7.3f} {100 * (rule / printed - 1):+6.1f}% {measured:8.3f}"
