"""The command `posenfs`: search, run notebooks, make reports, look at runs."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import AvoidSubcommands, Positional, UseAppendAction, arg
from tyro.extras import SubcommandApp

from posenfs.evaluation.metrics import metric_title, without_nan
from posenfs.search.experiment import Experiment

app, data, evaluation, submission = SubcommandApp(), SubcommandApp(), SubcommandApp(), SubcommandApp()


@app.command
def search(
    experiment: Annotated[Experiment, arg(name=""), AvoidSubcommands],
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    strict: bool = False,
    cache_gb: float = 20.0,
    detach: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Search part-specific fabrics, in the run folder reports/runs/<name>; a run begun before goes on.

    With no option at all this is the paper's search (200 epochs at 256 px) on drawn people: work for a GPU. `make demo`
    is a search of minutes. Ctrl-C finishes the step, saves, and says how to go on.

    Args:
        experiment: The search itself.
        device: auto, cpu, cuda or cuda:N.
        devices: So many GPUs, or processes on the CPU, share every batch; `torchrun -m posenfs.cli search …` does too.
            Each normalises its part by itself, so that another number is another training.
        workers: Processes that read and cut pictures where crops are plain; they change nothing in the results.
        cache_gb: How much room kept crops may take in data/cache, or in the folder POSENFS_CACHE names. Before they
            take more, somebody at a terminal is asked; elsewhere the search is refused.
        strict: Refuse data with broken or missing pictures; otherwise their people are named and left out.
        detach: In a process of its own that outlives this one: `posenfs follow` and `posenfs control` attach to it.
        quiet: No progress bar.
        as_json: Print the final metrics as JSON.
    """
    from posenfs.search.detached import detach as begin
    from posenfs.search.ranks import among_others, launch

    if detach:
        run = begin(experiment, None, device, workers, strict, cache_gb, devices)
        print(
            f"process {run.status().get('pid')} searches in {run.folder}; posenfs follow {run.name} shows how far it is"
        )
        return
    if devices != 1 and not among_others():
        sys.exit(launch(devices, "posenfs.cli", sys.argv[1:]))
    running = _open_search(experiment, cache_gb, device=device, workers=workers, progress=not quiet, strict=strict)
    metrics = running.finish()
    if not running.ranks.first:
        return
    if as_json:
        print(json.dumps(metrics))
    else:
        print(
            f"{metric_title(running.headline)} {metrics[running.headline]:.1f}; everything is in {running.run.folder}"
        )


@app.command
def control(
    run: Positional[str],
    command: Positional[Literal["pause", "resume", "step", "snapshot", "rewind", "stop"]],
    steps: int = 1,
) -> None:
    """Steer the search under way in a run, in whatever process it is.

    Args:
        run: Its name or folder.
        command: pause, resume, step (so many steps, then pause), snapshot, rewind (to the state after so many steps;
            what came later is kept in branches/; then pause), or stop, which saves first.
        steps: With step and rewind: how many.
    """
    from posenfs.search.detached import send
    from posenfs.search.run import find_run

    status = send(find_run(run), command, steps)
    print(f"{status['state']} at step {status['step']} of {status['steps']}")


@app.command
def follow(run: Positional[str]) -> None:
    """Show how far the search under way in a run is, until it ends; Ctrl-C leaves it alone.

    Args:
        run: Its name or folder.
    """
    from posenfs.search.detached import follow as show
    from posenfs.search.run import find_run

    status = show(find_run(run))
    print(f"{status.get('state')} at step {status.get('step')} of {status.get('steps')}")


@app.command
def run(
    notebook: Positional[Path],
    parameter: Annotated[UseAppendAction[list[str]], arg(aliases=["-p"], metavar="NAME=VALUE")] = [],  # noqa: B006
    output: Path | None = None,
    quiet: bool = False,
) -> None:
    """Run a notebook with parameters. A search in it goes on from its run folder: repeat the command to resume.

    Args:
        notebook: The notebook, e.g. notebooks/04_search.ipynb.
        parameter: A parameter of the notebook; may be given many times.
        output: The executed notebook; by default notebook.ipynb in the run folder that parameter `name` names, and
            below reports/ where the notebook has no such parameter.
        quiet: No progress.
    """
    from posenfs.search.run import runs_home
    from posenfs.study.sweep import notebook_parameters, parse_parameters, run_notebook

    values = parse_parameters(notebook, parameter)
    name = {**notebook_parameters(notebook), **values}.get("name")
    target = output or (runs_home() / name / "notebook.ipynb" if name else runs_home().parent / notebook.name)
    run_notebook(notebook, target, values, progress=not quiet)
    print(f"executed notebook: {target}")


@app.command
def ablate(
    tables: Positional[tuple[str, ...]],
    profile: Literal["paper", "paper_text", "study", "smoke"] = "study",
    seeds: int = 3,
    rows: tuple[str, ...] = (),
    engine: Literal["local", "ray"] = "local",
    jobs: int | None = None,
    gpus_per_run: float | None = None,
    address: str | None = None,
    device: str = "auto",
    image_size: int | None = None,
    epochs: int | None = None,
    dataset: str | None = None,
    root: str | None = None,
    pictures: tuple[int, int] | None = None,
    weights: tuple[str, ...] = (),
    retry: bool = False,
    plan: bool = False,
    quiet: bool = False,
) -> None:
    """Run the rows of tables and figures of the paper, several seeds each, as notebooks, and write the tables.

    What is done is not done again; more seeds later add to it. Ctrl-C leaves all of it to go on with.

    Args:
        tables: table_2 to table_7, figure_6, figure_7, rules; or all.
        profile: The paper's own size (paper: by the released code's rules; paper_text: by the text's), study (small,
            for photographs), or smoke (seconds a run, drawn people).
        seeds: 0, 1, …: so many of each row.
        rows: Some of the tables' rows, by name; none: all.
        engine: Processes of this machine, or tasks of a Ray cluster.
        jobs: At a time, on this machine; none: as many as its GPUs hold, or one.
        gpus_per_run: A run's share of a GPU; none: 1 on this machine where it has one; 0 with Ray.
        address: Of an existing Ray cluster; none: one of this machine is begun.
        device: Of local runs: auto, cpu, cuda.
        image_size: Pixels of crops, other than the profile's.
        epochs: Other than the profile's.
        dataset: Other than the profile's: lsp, mpii, synthetic, …
        root: The data set's folder.
        pictures: Of drawn people: to train and to validate on.
        weights: What networks begin with, NETWORK=FILE, or =imagenet: mobilenet_v2=weights.pth
        retry: Run those that failed before again.
        plan: Only say what would be run, for how long, and how many seeds would tell which difference.
        quiet: No progress.
    """
    from posenfs.study.campaign import run_tables

    run_tables(
        tables, profile, seeds, engine, jobs, gpus_per_run, address, device,
        {"image_size": image_size, "epochs": epochs, "dataset": dataset, "root": root, "pictures": pictures},
        weights, rows, retry, plan, quiet,
    )  # fmt: skip


@app.command
def report(source: Positional[str], output: Path | None = None) -> None:
    """Turn an executed notebook into one HTML page that needs no internet.

    Args:
        source: A run (its name or folder), an executed notebook, or a table (table_2, …): its notebook is executed, its
            page is written into reports/, and reports/index.html lists all pages there.
        output: The page; by default beside the notebook.
    """
    from posenfs.search.run import find_run
    from posenfs.show.report import report_table, write_report
    from posenfs.study.experiments import TABLES

    if source in TABLES:
        print(report_table(source, output))
        return
    notebook = Path(source) if source.endswith(".ipynb") else find_run(source).folder / "notebook.ipynb"
    print(write_report(notebook, output or notebook.with_suffix(".html")))


@app.command
def status(source: Positional[str | None] = None, as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Show where one run stands, or all of them.

    Args:
        source: A run (its name or folder); none: all runs.
        as_json: Print JSON.
    """
    from posenfs.search.run import find_run, list_runs

    runs = list_runs() if source is None else [find_run(source)]
    if as_json:
        print(json.dumps([{"name": run.name, "folder": str(run.folder), **run.status()} for run in runs], indent=2))
        return
    if not runs:
        print("no runs yet; `make demo` or `posenfs search` makes one")
        return
    print(f"{'run':24} {'state':12} {'step':>15} {'score':>22} {'heartbeat':>12}")
    for run in runs:
        print(_status_line(run.name, run.status(), run.in_use()))


@app.command
def compare(run: Positional[str], other: Positional[str], as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Compare two finished runs on the same people, person by person: the difference, its interval, a verdict.

    Args:
        run: A run (its name or folder).
        other: Another one.
        as_json: Print JSON.
    """
    from posenfs.search.run import find_run
    from posenfs.study.comparing import compare_runs

    found, metric = compare_runs(find_run(run), find_run(other))
    if as_json:
        verdict = {"distinguishable": found.distinguishable, "people": found.people}
        print(json.dumps({"metric": metric, **without_nan(asdict(found.difference)), **verdict}, indent=2))
    else:
        print(
            f"{metric} of {other} less that of {run}: {found}\n(bootstrap over people; of other seeds it says nothing)"
        )


@app.command
def cost(
    items: Positional[tuple[str, ...]] = (),
    modules: bool = False,
    measure: tuple[int, ...] = (),
    device: str = "auto",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the cost columns of Tables II to VIII: the paper's numbers, its rule recomputed, the honest count.

    Args:
        items: Some of the rows, by name, and runs or models of your own (a run's name, or a folder); none: all rows.
        modules: Also the honest cost of every module.
        measure: Batch sizes: for each also the estimated memory of a training step, and the measured latency.
        device: Where latency is measured: auto, cpu, cuda or cuda:N.
        as_json: Print JSON.
    """
    from posenfs.search.provenance import find_device
    from posenfs.study.costs import chosen_items, cost_rows, cost_text, measured_rows, measured_text, module_text

    chosen = chosen_items(items)
    rows = cost_rows(chosen, modules)
    measured = measured_rows(chosen, measure, find_device(device)) if measure else []
    if as_json:
        print(
            json.dumps([row | ({"measured": measured[n]} if measure else {}) for n, row in enumerate(rows)], indent=2)
        )
        return
    print(cost_text(rows, chosen))
    if modules:
        print("\n".join(f"\n{row['item']}\n{module_text(row['modules'])}" for row in rows))
    if measure:
        print(f"\n{measured_text(rows, measured)}")


@app.command
def bench(
    work: Positional[tuple[str, ...]] = (),
    network: tuple[str, ...] = (),
    size: tuple[int, ...] = (),
    dtype: tuple[Literal["float32", "bfloat16"], ...] = ("float32",),
    compile: Literal["no", "default", "reduce-overhead"] = "no",
    quick: bool = False,
    device: str = "auto",
    threads: int | None = None,
    rounds: int | None = None,
    seconds: float = 1.0,
    batch: int | None = None,
    output: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Time training, prediction, data and whole search steps beside the plain reference, in turns, on this machine.

    Everything takes an hour on two cores, `--quick` a minute or two; nothing else should run meanwhile.

    Args:
        work: training step, inference, data, search step; none: all.
        network: Some networks by name (table_2, p1, p5, p8, ours_1, ours_b, simple_baseline_50, hrnet_w32); none: all.
        size: 128, 256; none: both.
        dtype: That of the fast one; the reference is float32.
        compile: How the fast one trains, by torch.compile.
        quick: Table II's network at 128 px alone.
        device: auto, cpu, cuda or cuda:N.
        threads: On the CPU; none: as many as torch takes.
        rounds: In each, both take turns; none: 7, quick 3.
        seconds: How long a turn is, at least two runs.
        batch: Images of a training step; prediction takes twice as many. None: 16 at 128 px and 4 at 256 px on a CPU,
            256 and 128 on a GPU.
        output: A JSON file to write, as far as it has come, after each.
        as_json: Print JSON.
    """
    from posenfs.data.files import write_whole
    from posenfs.search.provenance import find_device
    from posenfs.study.speed import KINDS, NETWORKS, SPEED_HEAD, default_works, speed_line
    from posenfs.study.speed import bench as measure

    for given, known in ((work, KINDS), (network, NETWORKS)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"unknown {unknown[0]!r}; known: {', '.join(known)}")
    place = str(find_device(device))
    works = [
        own
        for own in default_works(place, quick, dtype, compile, batch)
        if (not work or own.kind in work)
        and (not network or own.experiment.name in network)
        and (not size or own.size in size)
    ]
    if not works:
        raise ValueError("nothing of that kind, network and size is timed")
    found, failures = [], []

    def failed(work, error) -> None:
        what = f"{work.kind} of {work.experiment.name}, {work.batch} x {work.size}²"
        failures.append(f"{what}: {(str(error).strip() or type(error).__name__).splitlines()[0]:.200}")

    if not as_json:
        print(SPEED_HEAD)
    rounds, progress = rounds or (3 if quick else 7), sys.stderr.isatty()
    for speed in measure(works, place, threads, rounds, seconds, progress, failed):
        found.append(speed.json())
        if output is not None:
            write_whole(output, json.dumps(found, indent=2) + "\n")
        if not as_json:
            print(speed_line(speed), flush=True)
    if as_json:
        print(json.dumps(found, indent=2))
    if failures:
        raise ValueError(f"not timed (a smaller --batch may fit): {'; '.join(failures)}")


@app.command
def predict(
    pictures: Positional[tuple[Path, ...]],
    model: str | None = None,
    output: Path = Path("predictions"),
    boxes: str = "whole",
    detector_weights: str = "coco",
    box_threshold: float = 0.5,
    decoding: str = "quarter offset",
    threshold: float = 0.2,
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Find the keypoints of people in pictures: predictions.json, in COCO's form, and the pictures with skeletons.

    Args:
        pictures: Picture files.
        model: A run (its name or folder), or a model's folder; none: the one that comes with posenfs.
        output: The folder to write.
        boxes: whole (one person fills each picture), detector (torchvision's Faster R-CNN finds people), or a JSON file
            [{file_name, bbox [x, y, w, h], score}].
        detector_weights: coco (torchvision downloads them), or a file with the detector's state dict.
        box_threshold: Of what the detector finds, boxes with scores above it are people.
        decoding: argmax, quarter offset or dark.
        threshold: Keypoints with lower scores are not drawn; predictions.json has them all.
        device: auto, cpu, cuda or cuda:N.
        quiet: No progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.search.shipped import SHIPPED
    from posenfs.show.predictions import predict_pictures

    keep_freed_memory()
    people = predict_pictures(
        pictures,
        model or SHIPPED,
        output,
        boxes,
        detector_weights,
        box_threshold,
        decoding,
        threshold,
        device,
        progress=not quiet,
    )
    print(f"{people} people in {len(pictures)} pictures; everything is in {output}")


@app.command(name="import")
def import_(
    checkpoint: Positional[Path],
    output: Path,
    operations: tuple[str, ...] = ("zero", "skip", "dilated_3x3", "separable_3x3"),
    backbone_operations: tuple[str, ...] | None = None,
    skeleton: Literal["mpii", "coco"] | None = None,
) -> None:
    """Turn a checkpoint of the authors' released code into a model folder: config.json and model.safetensors.

    Parts, width, hidden nodes, layers, vectors and backbone follow from the file.

    Args:
        checkpoint: The file, as their code saved it.
        output: The folder to write.
        operations: The candidate operations in the order of the configuration that trained it.
        backbone_operations: Those of a fabric backbone, where they are others.
        skeleton: Needed where the number of keypoints leaves a doubt.
    """
    from posenfs.body.skeleton import COCO, MPII
    from posenfs.model.cost import honest_cost
    from posenfs.model.released import load_released
    from posenfs.search.saved import describe, save_model

    known = {"mpii": MPII, "coco": COCO}
    model = load_released(checkpoint, operations, backbone_operations, known.get(skeleton))
    found = next(own for own in known.values() if len(own) == model.keypoints)
    experiment = describe(model, output.resolve().name.lstrip("."), found)
    save_model(output, model, experiment)
    spec = model.spec
    print(
        f"{found.name}, {len(model.parts)} parts; fabrics of {spec.layers} layers from layer {spec.first}, width "
        f"{spec.width}, {spec.hidden_nodes} hidden nodes; vectors of {experiment.vector_dim}; backbone "
        f"{'a fabric' if experiment.backbone_fabric else experiment.backbone}\n"
        f"{honest_cost(model, *experiment.image_size)} at {experiment.image_size[0]} x {experiment.image_size[1]} px\n"
        f"written to {output}"
    )


@app.command
def prune(
    source: Positional[str],
    output: Path,
    mode: Literal["exact", "threshold", "one-hot"] = "exact",
    threshold: float = 0.0,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Remove from a run's or a saved model what its alpha and beta make useless, and prove what that changes.

    Args:
        source: A run (its name or folder), or a model's folder.
        output: The folder to write: config.json, model.safetensors, proof.json.
        mode: exact removes weights of 0.0 alone; threshold those below it; one-hot all but the greatest.
        threshold: Of softmax weights, in mode threshold.
        quiet: No progress bar.
        as_json: Print the proof as JSON.
    """
    from posenfs.study.pruning import prune_saved

    proof = prune_saved(source, output, mode, threshold, progress=not quiet)
    print(json.dumps(proof.json(), indent=2) if as_json else f"{proof}\nwritten to {output}")


@app.command
def child(
    run: Positional[str],
    start: tuple[Literal["weights", "scratch"], ...] = ("weights", "scratch"),
    epochs: int | None = None,
    zero: bool = False,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Derive the discrete child of a finished run by argmax, evaluate it as it is, and train it: from the parent's
    weights and from scratch, in runs of their own beside the parent's. Repeat the command to go on.

    Args:
        run: The parent (its name or folder).
        start: From where the child is trained; none: it is only derived and evaluated.
        epochs: Of each training; by default as many as the parent had.
        zero: Let an edge choose the operation zero where it has the greatest weight; DARTS leaves it out.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
        as_json: Print the rows as JSON.
    """
    from posenfs.study.children import parent_and_child

    rows = parent_and_child(run, start, epochs, device, workers, progress=not quiet, zero=zero)
    print(rows.to_json(orient="records", indent=2) if as_json else rows.to_string(index=False))


@data.command
def synthetic(
    root: Path | None = None,
    pictures: tuple[int, int] = (2000, 400),
    seed: int = 0,
    difficulty: str = "default",
    quiet: bool = False,
) -> None:
    """Draw people, in MPII's and in COCO's file format; a set that is there already is left alone.

    Args:
        root: The folder to draw into; by default one below data/synthetic, where a search looks for it.
        pictures: How many to train and to validate on.
        seed: Of everything drawn.
        difficulty: plain, default or hard.
        quiet: No progress bar.
    """
    from posenfs.data.datasets.catalogue import DataSpec, data_root
    from posenfs.data.datasets.synthetic import write_synthetic

    folder = data_root(DataSpec("synthetic", root and str(root), pictures, difficulty, seed))
    print(write_synthetic(folder, *pictures, seed, difficulty, progress=not quiet))


@data.command
def check(
    path: Positional[Path],
    strict: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Read every annotation and decode every picture of a folder: what is there, and what is wrong with it.

    Exit code 1 where an annotation cannot be read, or not one of its pictures.

    Args:
        path: A folder with MPII, COCO or LSP-extended files.
        strict: Exit code 1 for anything wrong, a broken picture too.
        quiet: No progress bar.
        as_json: Print JSON.
    """
    from posenfs.data.check import check_data

    checks = check_data(path, progress=not quiet)
    if as_json:
        print(json.dumps([found.json() for found in checks], indent=2))
    else:
        print("\n".join(found.text() for found in checks))
    if any(found.wrong and (strict or not found.widths) for found in checks):
        sys.exit(1)


@data.command
def cache(delete: tuple[str, ...] = ()) -> None:
    """List the crops that searches have kept in data/cache, or in the folder POSENFS_CACHE names.

    Args:
        delete: Folders of kept crops to delete, by name; a search that needs them makes them again.
    """
    from posenfs.data.cache import cache_home, delete_kept, kept_folders

    for name in delete:
        delete_kept(name)
    folders = kept_folders()
    for folder, size in folders:
        print(f"{folder.name:50} {size / 1e9:8.2f} GB")
    print(f"{sum(size for _, size in folders) / 1e9:.2f} GB in {len(folders)} folders of {cache_home()}")


@evaluation.command
def mpii(
    predictions: Path,
    ground_truth: Path,
    one_based: bool = False,
    thresholds: tuple[float, ...] = (0.5, 0.1, 0.11),
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """PCKh of predictions [N, 16, 2] in MPII's file order, as the literature reports it.

    Args:
        predictions: A .npy, .mat, .h5 or .json file.
        ground_truth: gt_valid.mat.
        one_based: The predictions count pixels from 1, as MPII's files do; otherwise from 0.
        thresholds: Shares of the head size up to which a keypoint is right.
        as_json: Print JSON.
    """
    from posenfs.body.skeleton import MPII_FILE_KEYPOINTS
    from posenfs.evaluation.scoring import read_predictions, score_mpii

    points = read_predictions(predictions, MPII_FILE_KEYPOINTS)
    found, skipped = score_mpii(points, ground_truth, one_based, thresholds)
    _note_skipped(skipped)
    _print_scores(found, as_json)


@evaluation.command
def pck(
    predictions: Path,
    ground_truth: Path,
    normalise: Literal["torso", "box", "head"] = "torso",
    threshold: float = 0.2,
    torso: tuple[str, str] = ("left_shoulder", "right_hip"),
    one_based: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """PCK of predictions [N, K, 2], in the ground truth's own order of people and keypoints.

    Args:
        predictions: A .npy, .mat, .h5 or .json file.
        ground_truth: MPII's gt_*.mat or JSON, LSP's joints.mat, or a JSON file in COCO's form.
        normalise: By what an error is divided: the torso, the longer side of the box, or the head.
        threshold: Up to which a keypoint is right.
        torso: The two keypoints from which to which the torso is measured.
        one_based: The predictions count pixels from 1; otherwise from 0.
        as_json: Print JSON.
    """
    from posenfs.evaluation.scoring import read_predictions, score_pck
    from posenfs.evaluation.truth import read_truth

    truth = read_truth(ground_truth)
    found, skipped = score_pck(
        read_predictions(predictions, truth.skeleton.keypoints) - one_based, truth, normalise, threshold, torso
    )
    _note_skipped(skipped)
    _print_scores(found, as_json)


@evaluation.command
def coco(
    predictions: Path,
    annotations: Path,
    rescore: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: tuple[float, ...] | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Average precision of COCO results, by pycocotools.

    Args:
        predictions: A results file: a list of {image_id, category_id, keypoints, score}.
        annotations: person_keypoints_*.json.
        rescore: Scores are box scores: multiply them by the mean of the keypoint scores above 0.2. Each result carries
            its bbox [x, y, w, h], and keypoints carry raw scores.
        nms: With --rescore: of poses more similar (OKS) than this the lower one goes; 0.9 is customary.
        aspect: With --nms: width / height of the crops, by which suppression measures poses.
        sigmas: Of object keypoint similarity, one for each of the annotations' keypoints; none: COCO's.
        as_json: Print JSON.
    """
    from posenfs.evaluation.scoring import score_coco

    found = score_coco(predictions, annotations, rescore, nms, aspect, sigmas)
    print(
        json.dumps(found, indent=2) if as_json else "\n".join(f"{name:5} {100 * v:6.2f}" for name, v in found.items())
    )


@submission.command(name="mpii")
def submit_mpii(
    model: str, root: Path, output: Path, device: str = "auto", workers: int = 0, quiet: bool = False
) -> None:
    """Predict MPII's test people and write pred_keypoints_mpii.mat for its benchmark.

    Args:
        model: A run (its name or folder), or a model's folder.
        root: The folder with MPII's own annotation file and images/.
        output: The file to write, pred_keypoints_mpii.mat.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.submitting import submit_mpii

    keep_freed_memory()
    people = submit_mpii(model, root, output, device, workers, progress=not quiet)
    print(f"{people} people written to {output}")


@submission.command(name="coco")
def submit_coco(
    model: str,
    info: Path,
    pictures: Path,
    detections: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
) -> None:
    """Predict the people detected in COCO's test-dev pictures and write the file for its evaluation server.

    Args:
        model: A run (its name or folder), or a model's folder.
        info: image_info_test-dev2017.json.
        pictures: The folder of the pictures, test2017/.
        detections: A JSON file of detected boxes [{image_id, category_id, bbox, score}].
        output: The file to write, person_keypoints_test-dev2017_<algorithm>_results.zip.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
    """
    from posenfs.study.submitting import submit_coco

    poses = submit_coco(model, info, pictures, detections, output, device, workers, progress=not quiet)
    print(f"{poses} poses written to {output}")


app.command(data, name="data", help="Draw people, or check a folder of data.")
app.command(evaluation, name="evaluate", help="Score anyone's predictions.")
app.command(submission, name="submit", help="Predict a benchmark's test people and write the file it takes.")


def _open_search(experiment: Experiment, cache_gb: float, **options):
    """The search. Where its crops would go beyond the budget, whoever sits at the terminal is asked."""
    from posenfs.data.cache import OverBudget
    from posenfs.search.engine import Search
    from posenfs.search.ranks import among_others

    try:
        return Search(experiment, cache_gb=cache_gb, **options)
    except OverBudget as error:
        if among_others() or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"posenfs: {error}", file=sys.stderr)
    print("Keep them all the same (yes), half the resolution (half), nothing (plain), or stop (no)?", file=sys.stderr)
    answer = sys.stdin.readline().strip().lower()
    if answer in ("half", "plain"):
        experiment = replace(experiment, run=replace(experiment.run, crops=answer))
    elif answer in ("yes", "y"):
        cache_gb = float("inf")
    else:
        raise KeyboardInterrupt("stopped: nothing was written")
    return _open_search(experiment, cache_gb, **options)


def _note_skipped(skipped: dict[str, int]) -> None:
    if skipped:
        counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        print(f"note: people skipped: {counts}", file=sys.stderr)


def _print_scores(found: dict[str, dict[str, float]], as_json: bool) -> None:
    """A row for each metric, a column for each kind of keypoint."""
    if as_json:
        print(json.dumps({metric: without_nan(values) for metric, values in found.items()}, indent=2))
        return
    columns = next(iter(found.values()))
    print(f"{'%':16}" + "".join(f"{column:>10}" for column in columns))
    for metric, values in found.items():
        print(f"{metric_title(metric):16}" + "".join(f"{value:10.3f}" for value in values.values()))


def _status_line(name: str, status: dict, in_use: bool) -> str:
    age = time.time() - status.get("heartbeat", 0)
    state = status.get("state", "unknown")
    if state == "running" and not in_use:
        state = "gone"  # its process ended without a word
    metric = status.get("headline", "pckh@0.5")
    score = (status.get("metrics") or {}).get(metric)
    result = "-" if score is None else f"{metric_title(metric)} {score:.1f}"
    steps = f"{status.get('step', 0)}/{status.get('steps', 0)}"
    line = f"{name:24} {state:12} {steps:>15} {result:>22} {_ago(age):>12}"
    return line + (f"\n    {status['error']}" if "error" in status else "")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error a user can cause is one message on stderr and exit code 1."""
    import torch

    from posenfs.data.sample import DataError
    from posenfs.search.failures import NonFiniteLoss, OutOfMemory
    from posenfs.search.ranks import Lost, among_others
    from posenfs.search.run import RunError
    from posenfs.study.sweep import NotebookError

    try:
        app.cli(prog="posenfs", args=arguments)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (ValueError, OSError, DataError, RunError, NonFiniteLoss, OutOfMemory, Lost, NotebookError) as error:
        sys.exit(f"posenfs: {error}")
    except torch.OutOfMemoryError as error:
        sys.exit(f"posenfs: out of memory on the device ({str(error).splitlines()[0]})")
    except KeyboardInterrupt as interrupt:
        if not among_others() or str(interrupt):
            print(f"\nposenfs: {interrupt or 'interrupted'}", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
