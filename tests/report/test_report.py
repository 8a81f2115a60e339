"""What stands in a run's report, against the run's network, data and files."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pages import Page, pixels, said, trained
from sklearn.metrics import confusion_matrix, roc_auc_score
from tiny_training import digits

from nesy_gedi.cli import main
from nesy_gedi.errors import UserError
from nesy_gedi.evaluation.failures import ruled_out_at
from nesy_gedi.evaluation.own_terms import epochs_of
from nesy_gedi.experiment import Experiment
from nesy_gedi.gedi.checkpoint import load_network
from nesy_gedi.report.page import write_report
from nesy_gedi.resources import resource

ADDITION = str(resource("programs", "addition.pl"))


@pytest.fixture(scope="module")
def addition(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("addition") / "run"
    return trained(str(run), program=ADDITION, examples=30, width=4, seeds=2)


@pytest.fixture(scope="module")
def page(addition: Experiment) -> Page:
    return Page(addition.folder.path / "report.html")


def test_it_stands_alone_and_says_what_is_in_its_pictures(page: Page) -> None:
    assert len(page.images) > 25
    for image in page.images:
        height, width = pixels(image["src"]).shape[:2]
        assert (int(image["height"]), int(image["width"])) == (height, width)
        assert len(image["alt"]) > 5
    assert page.charts
    assert all(len(alt) > 20 for alt in page.charts)
    elsewhere = [address for address in page.loaded if not address.startswith(("data:", "#"))]
    assert elsewhere == []
    assert not re.search(r"url\((?!#|\"?data:)|@import", page.source)
    assert len(page.ids) == len(set(page.ids))
    assert page._open == []


def test_a_report_is_the_same_every_time(addition: Experiment, tmp_path: Path, page: Page) -> None:
    """Made at the end of the training, and made again from the folder."""
    again = write_report(addition.folder.path, out=tmp_path / "deep" / "again.html")
    assert again.read_text(encoding="utf-8") == page.source


def test_measures_of_all_seeds_their_median_and_the_papers(addition: Experiment, page: Page) -> None:
    rows = json.loads((addition.folder.path / "result.json").read_text())["seeds"]
    heading, *seeds, median = page.tables["measures"]
    assert heading == ["", "accuracy", "matched", "NMI", "seconds", "restarts"]
    for row, shown in zip(rows, seeds, strict=True):
        assert shown[:4] == [
            f"seed {row['seed']}",
            *(f"{row[k]:.3f}" for k in ("accuracy", "matched_accuracy", "nmi")),
        ]
    assert median[:2] == ["median", f"{np.median([row['accuracy'] for row in rows]):.3f}"]


def test_terms_optima_and_what_is_ruled_out_since_when(addition: Experiment, page: Page) -> None:
    folder = addition.folder.path
    result = json.loads((folder / "result.json").read_text())
    kept = next(row for row in result["seeds"] if row["seed"] == result["kept"])
    optima = addition.learner.optima()
    _, *terms = [row for row in page.tables["terms"] if len(row) == 4]
    assert [row[:3] for row in terms] == [
        [name, f"{value:.3f}", "–" if optima[name] is None else f"{optima[name]:.3f}"]
        for name, value in kept["terms"].items()
    ]
    since = ruled_out_at(epochs_of(folder / "metrics.jsonl", kept["seed"], kept["terms"]), optima, 10)
    shown = {row[0]: row[1] for row in page.tables["terms"] if len(row) == 3 and row[0] in since}
    for mode, epoch in since.items():
        assert shown[mode].startswith("no" if epoch is None else f"yes, from epoch {epoch} on")


def test_the_kept_network_is_the_one_of_the_kept_seed(addition: Experiment) -> None:
    result = json.loads((addition.folder.path / "result.json").read_text())
    kept = next(row for row in result["seeds"] if row["seed"] == result["kept"])
    data = digits()
    with torch.no_grad():
        read = load_network(addition.folder.path)(data.test_images / 255).argmax(1)
    assert float((read == data.test_labels).double().mean()) == pytest.approx(kept["accuracy"], abs=2e-3)


def test_clusters_hold_what_the_network_puts_there(addition: Experiment, page: Page) -> None:
    data = digits()
    with torch.no_grad():
        network = load_network(addition.folder.path)
        logits = network(data.test_images / 255)
    energy, predicted = -logits.logsumexp(1), logits.argmax(1)
    rows = page.tables["gallery"][1:]
    assert [int(row[1]) for row in rows] == predicted.bincount(minlength=10).tolist()
    strips = iter([image for image in page.images if "typical" in image["alt"]])
    for k in range(10):
        members = (predicted == k).nonzero()[:, 0]
        if not len(members):
            continue
        order = members[energy[members].argsort()]
        for image, first in ((next(strips), order[0]), (next(strips), order[-1])):
            np.testing.assert_array_equal(
                pixels(image["src"])[2:30, 2:30], data.test_images[first, 0].numpy()
            )
            assert f"cluster {k}:" in image["alt"]


def test_confusion_has_labels_as_rows(addition: Experiment, page: Page) -> None:
    data = digits()
    with torch.no_grad():
        read = load_network(addition.folder.path)(data.test_images / 255).argmax(1)
    assert data.test_labels is not None
    expected = confusion_matrix(data.test_labels.numpy(), read.numpy(), labels=range(10))
    shown = [[int(cell or 0) for cell in row[1:]] for row in page.tables["confusion"][1:]]
    assert shown == expected.tolist()


def test_the_audit_and_which_reading_was_learned(addition: Experiment, page: Page) -> None:
    _, identity, zero = page.tables["audit"]
    assert identity == ["every symbol as what it is", "nothing", ""]
    assert zero[:2] == ["every image as 0", "merges symbols: the term prior rules it out"]
    result = json.loads((addition.folder.path / "result.json").read_text())
    (reads,) = [row["reads_as"] for row in result["seeds"] if row["seed"] == result["kept"]]
    assert zero[2] == ("this one" if reads == [0] * 10 else "")
    changed = ", ".join(f"{k} as {j}" for k, j in enumerate(reads) if j != k)
    if len(set(reads)) > 1:
        assert f"images: {changed}. That is none of these" in page.text.replace("\n", " ")
    assert "2 of the symbols' readings satisfy" in page.text


def test_the_examples_that_hold_least_and_what_they_would_be(addition: Experiment, page: Page) -> None:
    """P of each training triple by brute force over the 55 sums."""
    result = json.loads((addition.folder.path / "result.json").read_text())
    examples = addition.learner.examples(30, result["kept"])
    images = digits().train_images[examples.images]
    with torch.no_grad():
        posterior = load_network(addition.folder.path).posterior(images.flatten(0, 1) / 255).view(30, 3, 10)
    worlds = [(a, b, a + b) for a, b in product(range(10), repeat=2) if a + b < 10]
    each = torch.stack(
        [posterior[:, 0, a] * posterior[:, 1, b] * posterior[:, 2, c] for a, b, c in worlds], 1
    )
    total = each.sum(1)
    shown = re.findall(
        r"holds with probability ([\d.e-]+)\.\s+Most probable if it does: (\d), (\d), (\d)", page.text
    )
    assert [float(p) for p, *_ in shown] == pytest.approx(total.sort().values[:6].tolist(), rel=1e-3)
    order = total.argsort()[:6]
    for row, (_, *reading) in zip(order.tolist(), shown, strict=True):
        assert tuple(int(k) for k in reading) == worlds[int(each[row].argmax())]
    slots = [image for image in page.images if image["alt"].startswith("the image of")]
    np.testing.assert_array_equal(pixels(slots[2]["src"]), images[order[0], 2, 0].numpy())


def test_all_that_is_needed_to_make_it_again(addition: Experiment, page: Page) -> None:
    again = dict(page.tables["again"][: -len(addition_settings(addition))])
    described = json.loads((addition.folder.path / "config.json").read_text())
    assert again["SHA-256 of the data"] == digits().sha256
    assert f"torch {torch.__version__.split('+')[0]}" in again["versions"]
    assert again["commit"] == described["environment"]["commit"]
    settings = dict(page.tables["again"][-len(addition_settings(addition)) :])
    assert settings["sampler.steps"] == "1"
    assert settings["method.weights.nesy"] == json.dumps(described["config"]["method"]["weights"]["nesy"])


def addition_settings(experiment: Experiment) -> list[str]:
    def leaves(table: dict[str, object]) -> list[str]:
        return [n for k, v in table.items() for n in (leaves(v) if isinstance(v, dict) and v else [k])]

    return leaves(json.loads((experiment.folder.path / "config.json").read_text())["config"])


def test_the_paper_stands_beside_what_it_measured(tmp_path: Path) -> None:
    run = trained(str(tmp_path / "moons"), dataset="moons", variant="gedi", width=8, report=False)
    shown = Page(write_report(run.folder.path))
    assert shown.tables["measures"][-1][:2] == ["paper", "0.940"]
    assert "5,000 SGLD steps" in shown.charts[-1]
    assert "gallery" not in shown.tables
    assert "Find 2 clusters in the 10,000 training points of moons, without labels." in shown.text
    assert said(run).count("report:") == 0


def test_since_when_a_way_of_failing_is_ruled_out(tmp_path: Path) -> None:
    """In a log in which both terms come down in the second epoch."""
    run = trained(str(tmp_path / "run"), dataset="moons", variant="gedi-no-gen", width=8, report=False)
    folder = run.folder.path
    high, low = {"inv": 0.69, "prior": 3.0}, {"inv": 0.01, "prior": 0.70}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    made = [{**line, "terms": terms} for line, terms in zip(lines, (high, low), strict=True)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in made))
    result = json.loads((folder / "result.json").read_text())
    result["seeds"][0]["terms"] = low
    (folder / "result.json").write_text(json.dumps(result))
    rows = [row for row in Page(write_report(folder)).tables["terms"] if len(row) == 3]
    assert [row[1] for row in rows[1:]] == ["yes, from epoch 2 on"] * 3


def test_out_of_distribution_curves(
    addition: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    half = digits().test_images[:200]
    np.savez("upside.npz", x_train=half[:, 0].numpy(), x_test=half[:, 0].flip(1).numpy())
    run = str(addition.folder.path)
    result = CliRunner().invoke(main, ["evaluate", run, "--measures", "ood", "--ood", "upside.npz"])
    assert result.exit_code == 0, result.output
    shown = Page(write_report(run, out="with.html"))
    with torch.no_grad():
        own, other = (load_network(run)(x / 255).logsumexp(1) for x in (digits().test_images, half.flip(2)))
    truth = np.r_[np.ones(len(own)), np.zeros(len(other))]
    area = roc_auc_score(truth, torch.cat([own, other]).numpy())
    assert f"logpx against upside.npz: AUROC {area:.3f}" in shown.text
    histograms = [alt for alt in shown.charts if "histograms" in alt]
    assert len(histograms) == 3
    assert f"ROC curve, area {area:.3f}" in histograms[0]
    (addition.folder.path / "ood_scores.npz").unlink()


def test_names_are_text_whatever_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = digits()
    strange = "<img src=x onerror=alert(1)>&.npz"
    np.savez(strange, x_train=data.train_images[:60, 0].numpy(), x_test=data.test_images[:40, 0].numpy())
    run = trained("<b>run", dataset=strange, variant="gedi", clusters=3, width=4)
    shown = Page(run.folder.path / "report.html")
    assert "<b>run" in shown.text
    assert strange in shown.text
    assert all(image["src"].startswith("data:image/png") for image in shown.images)
    assert "There are no labels to score it by" in shown.text
    assert "confusion" not in shown.tables
    Path(strange).unlink()
    without = Page(write_report("<b>run", out="without.html"))
    assert f"What needs the images is left out: unknown data set '{strange}'" in without.text
    assert without.images == []
    assert without.tables["measures"] == shown.tables["measures"]
    np.savez(strange, x_train=data.train_images[:50, 0].numpy(), x_test=data.test_images[:40, 0].numpy())
    assert (
        "was trained with other settings or data: sha256" in Page(write_report("<b>run", out="o.html")).text
    )


def test_a_named_run_has_a_report_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained("clusters", dataset="mnist", examples=100, variant="gedi", width=4, report=False)
    named = CliRunner().invoke(main, ["name", "clusters", "--program", ADDITION, "--examples", "20"])
    assert named.exit_code == 0, named.output
    result = CliRunner().invoke(main, ["report", "clusters-named"])
    assert (result.exit_code, result.stdout) == (0, "clusters-named/report.html\n"), result.output
    shown = Page("clusters-named/report.html")
    assert "the clusters were named, and nothing was trained" in shown.text
    assert shown.tables["audit"][1][0] == "every symbol as what it is"
    assert len([image for image in shown.images if image["alt"] == "the image of X"]) == 6


def test_mistakes(addition: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = addition.folder.path

    def refused(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["report", *arguments])
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        return result.stderr

    assert "no run in nowhere: name its folder" in refused("nowhere")
    Path("file").touch()
    assert "choose another --out" in refused(str(run), "--out", "file/report.html")
    Path("half").mkdir()
    Path("half/config.json").write_text("{}")
    assert "is not finished: `nesy-gedi train --resume half`" in refused("half")
    Path("half/result.json").write_text('{"seeds": [{"seed": 1}]}')
    assert "half is damaged, or of another version" in refused("half")
    assert sorted(path.name for path in Path().rglob("*")) == ["config.json", "file", "half", "result.json"]


def test_a_report_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    run = trained(str(tmp_path / "run"), dataset="moons", variant="gedi-no-gen", width=4)
    assert "no report: cannot write" in said(run)
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_a_network_that_diverged_has_a_report(tmp_path: Path) -> None:
    run = trained(str(tmp_path / "run"), dataset="mnist", examples=100, variant="gedi", width=4, report=False)
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = run.folder.path / "weights.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) * torch.nan for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata)
    shown = Page(write_report(run.folder.path))
    assert "No gallery: the network gives logits that are no finite numbers" in shown.text
    with pytest.raises(UserError, match="no run in"):
        write_report(tmp_path)
