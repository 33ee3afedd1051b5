"""What is published is filled in from scores, and every page says what the scorecard says."""

import json
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import __main__ as command
from minivid import files, recipes, weights
from minivid.measure.stats import proportion_row
from minivid.recipes import flops, pace, progress, publish, runs, scorecard, tables
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig

ROWS = [
    {
        "model": model,
        "key": key,
        "what": what,
        "floor": number,
        "ours": number,
        "ceiling": number,
        "interval": [number, number],
    }
    for model, key, what, number in (
        ("tiny", "right", "of all: right", 0.0),
        ("other", "left", "as it was", 1.0),
    )
]
SCORES = {"tiny": {"right": {"floor": None, "ours": 0.5, "ceiling": 1, "interval": [0.25, 0.75]}}}


def _page(*marks: str) -> str:
    """A page of nothing but places to write into."""
    return "".join(f"<!-- {mark} -->\n<!-- /{mark} -->\n" for mark in marks)


# Rows and pages ----------------------------------------------------------------------------------


def test_numbers_are_filled_in_and_words_and_other_models_rows_stay():
    rows = scorecard.filled(ROWS, SCORES)
    right = "| tiny | `right` | of all: right | – | 0.500 [0.250, 0.750] | 1.000 |"
    left = "| other | `left` | as it was | 1.000 | 1.000 [1.000, 1.000] | 1.000 |"
    assert tables.table(rows)[2:] == [right, left]
    assert rows[1] == ROWS[1] and scorecard.filled(rows, SCORES) == rows
    assert "n = 1,000" in tables.table(rows, 1000)[0] and "n = 20" in tables.table(rows, 20)[0]
    with pytest.raises(ValueError, match="tiny has no 'right' in its score: wrong"):
        scorecard.filled(ROWS, {"tiny": {"wrong": {}}})


def test_rows_come_back_from_their_file_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(scorecard, "SCORECARD", tmp_path / "scorecard.json")
    rows = scorecard.filled(ROWS, SCORES)
    scorecard.write(rows)
    assert scorecard.load() == rows
    content = json.loads(scorecard.SCORECARD.read_text("utf-8"))
    assert (content["n"], content["seed"]) == (scorecard.N, scorecard.SEED)


def test_headlines_are_the_rows_that_are_called_so_in_three_digits():
    row = ROWS[0] | {"headline": "right", "ours": 0.98765, "ceiling": None}
    decibels = ROWS[0] | {"headline": "decibels", "ours": 31.4159, "ceiling": 1.0}
    lines = tables.headlines([row, ROWS[1], decibels])
    assert lines[2:] == ["| right | 0.988 | – |", "| decibels | 31.4 | 1 |"]


def test_lines_are_put_between_marks_again_and_again():
    page = tables.between("a\n<!-- x -->\n<!-- /x -->\nb", "x", ["one"])
    assert page == "a\n<!-- x -->\n\none\n\n<!-- /x -->\nb"
    assert tables.between(page, "x", ["one"]) == page
    with pytest.raises(ValueError, match="no <!-- y -->"):
        tables.between(page, "y", [])


def test_the_scorecard_says_what_the_cards_say():
    rows = scorecard.load()
    assert len(rows) > 100 and {row["model"] for row in rows} == set(recipes.shipped())
    scores = {name: weights.card(name)["score"] for name in recipes.shipped()}
    assert scorecard.filled(rows, scores) == rows
    keys = [(row["model"], row["key"]) for row in rows]
    assert len(set(keys)) == len(keys)
    content = json.loads(scorecard.SCORECARD.read_text("utf-8"))
    assert (content["n"], content["seed"]) == (scorecard.N, scorecard.SEED)


def test_the_readme_has_the_headlines_of_the_scorecard():
    page = publish.README.read_text(encoding="utf-8")
    lines = tables.headlines(scorecard.load())
    assert len(lines) > 2 + 5
    assert tables.between(page, "headlines", lines) == page


def test_the_page_of_results_says_what_the_scorecard_and_the_cards_say():
    page, rows = publish.RESULTS.read_text(encoding="utf-8"), scorecard.load()
    assert tables.between(page, "score", tables.table(rows)) == page
    cards = {name: weights.card(name) for name in recipes.shipped()}
    assert tables.between(page, "made", tables.trainings(cards)) == page
    again = json.loads(publish.FROM_NOTHING.read_text(encoding="utf-8"))
    lines = [*tables.trainings(again), "", *tables.repeated(rows, again, cards)]
    assert tables.between(page, "again", lines) == page


def test_another_training_is_held_against_the_cards():
    again = {"tiny": {"score": {"right": proportion_row([True] * 20)}}, "unknown": {}}
    for right, ours, difference in (
        ([True] * 30, "1.000 [0.886, 1.000]", ""),
        ([True] * 30 + [False], "0.968 [0.838, 0.994]", "outside"),
        ([False], "0.000 [0.000, 0.793]", "apart"),
    ):
        cards = {"tiny": {"score": {"right": proportion_row(right)}}}
        lines = tables.repeated(ROWS, again, cards)
        assert lines[2:] == [f"| tiny `right` | 1.000 [0.839, 1.000] | {ours} | {difference} |"]
    newer = [*ROWS, ROWS[0] | {"key": "measured since"}]
    assert tables.repeated(newer, again, cards) == lines, "what that training was not asked is left out"


# What a score is found again by ------------------------------------------------------------------

MODULE = '''"""What this is for."""

X = 1  # one


class A:
    """A class."""

    def f(self, x):
        """A function."""
        return x + X
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few modules, and weights beside it."""
    folder = tmp_path / "package"
    for name in ("models/a.py", "b.py", "show/c.py", "experiments/d.py", "__main__.py"):
        files.write(folder / name, MODULE.encode())
    files.write(tmp_path / "weights" / "tiny.safetensors", b"numbers")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    return folder


@pytest.mark.parametrize(
    "path, old, new",
    [
        ("b.py", "What this is for.", "What else this is for."),
        ("b.py", '"""What this is for."""\n\n', ""),
        ("models/a.py", "# one", "# the first number"),
        ("models/a.py", "  # one", ""),
        ("models/a.py", "A class.", "A class\n\n    of its own."),
        ("models/a.py", '        """A function."""\n', ""),
        ("models/a.py", "return x + X", "return (\n            x + X\n        )"),
        ("show/c.py", "X = 1", "X = 2"),
        ("experiments/d.py", "x + X", "x - X"),
        ("__main__.py", "X = 1", "X = 2"),
    ],
)
def test_a_score_stays_what_it_is_when_words_change_and_code_that_shows_it(package, path, old, new):
    before, text = scorecard.fingerprint(package), (package / path).read_text()
    assert old in text
    (package / path).write_text(text.replace(old, new))
    assert scorecard.fingerprint(package) == before


@pytest.mark.parametrize(
    "path, old, new",
    [
        ("b.py", "X = 1", "X = 2"),
        ("models/a.py", "x + X", "x - X"),
        ("models/a.py", "def f(self, x):", "def f(self, x, y=0):"),
        ("models/a.py", "class A:", "class B:"),
        ("b.py", "X = 1", "X = 1\nY = 'no docstring'"),
    ],
)
def test_a_score_is_measured_anew_when_code_changes(package, path, old, new):
    before, text = scorecard.fingerprint(package), (package / path).read_text()
    assert old in text
    (package / path).write_text(text.replace(old, new))
    assert scorecard.fingerprint(package) != before
    (package / path).write_text(text)
    assert scorecard.fingerprint(package) == before


def test_a_score_is_measured_anew_with_other_weights_or_another_module(package):
    before = scorecard.fingerprint(package)
    files.write(weights.folder() / "tiny.json", b"{}")
    assert scorecard.fingerprint(package) == before, "a card changes no score"
    files.write(package / "models" / "new.py", b"Y = 1")
    with_module = scorecard.fingerprint(package)
    files.write(weights.folder() / "tiny.safetensors", b"other numbers")
    assert len({before, with_module, scorecard.fingerprint(package)}) == 3


# Trainings of all models -------------------------------------------------------------------------


def test_flops_of_a_training_are_those_of_its_matrices():
    """Two linear layers, 8 -> 16 -> 4: forward 2 · b · (8·16 + 16·4), back as much for the weights, and for
    what lies between the layers."""
    recipe = Recipe(
        "",
        build=lambda: nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4)),
        draw_batch=lambda config, rng: (torch.randn(config.batch_size, 8, generator=rng),),
        loss=lambda network, batch, rng: network(batch[0]).square().mean(),
        configs={"laptop": TrainConfig(100, 3, 1e-3)},
        score=lambda network, n, seed: {},
    )
    a_clip = 2 * 2 * (8 * 16 + 16 * 4) + 2 * 16 * 4
    assert flops.training_flops(recipe, "laptop") == 100 * 3 * a_clip


def _tiny(name, steps, stop_at=None):
    """A recipe of a small network, and a list that grows with every batch it learns from."""
    batches = []

    def loss(network, batch, rng):
        batches.append(1)
        if len(batches) == stop_at:
            raise KeyboardInterrupt
        return network(batch[0]).square().mean()

    return Recipe(
        name,
        build=lambda: nn.Linear(3, 3),
        draw_batch=lambda config, rng: (torch.randn(config.batch_size, 3, generator=rng),),
        loss=loss,
        configs={"laptop": TrainConfig(steps, 2, 1e-3)},
        score=lambda network, n, seed: {"right": proportion_row([True] * n)},
    ), batches


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Write other rows in the place of those that are published."""
    monkeypatch.setattr(scorecard, "SCORECARD", tmp_path / "scorecard.json")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    return scorecard.write


def test_all_are_trained_in_order_go_on_after_a_stop_and_end_in_the_scorecard(
    published, tmp_path, monkeypatch, capsys
):
    first, first_batches = _tiny("first", 5)
    second, second_batches = _tiny("second", 300, stop_at=280)
    monkeypatch.setattr(recipes, "RECIPES", {"first": first, "second": second})
    published([ROWS[0] | {"model": "second"}, ROWS[1] | {"model": "first", "key": "right"}])
    order = ["train", "all", "--scale", "laptop", "--runs", str(tmp_path / "runs")]
    assert command.main(order) == 130
    assert "same command resumes" in capsys.readouterr().err
    assert len(first_batches) == 5 + flops.BATCHES and len(second_batches) == 280
    assert command.main(order) == 0
    assert len(first_batches) == 5 + flops.BATCHES, "what is done is not done again"
    assert len(second_batches) == 280 + 50 + flops.BATCHES  # from step 250 on
    shown = capsys.readouterr()
    assert "| second | `right` | of all: right | – | 1.000 [0.996, 1.000] | – |" in shown.out
    assert "second (laptop, 2 of 2)" in shown.err
    assert command.main(order) == 0, "once all is done, the scorecard is shown again"
    assert "| first | `right` |" in capsys.readouterr().out


def test_a_scale_trains_what_has_a_configuration_for_it_and_shows_what_is_not_published(
    published, tmp_path, monkeypatch, capsys
):
    first, _ = _tiny("tiny", 2)
    more, _ = _tiny("tiny_64", 3)
    more = replace(more, configs={"gpu": more.configs["laptop"]})
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": first, "tiny_64": more})
    published(ROWS)
    order = ["train", "all", "--runs", str(tmp_path / "runs"), "--scale"]
    assert command.main([*order, "laptop"]) == 0
    shown = capsys.readouterr().out
    assert "| tiny | `right` |" in shown and "tiny_64" not in shown
    assert command.main([*order, "gpu"]) == 0
    assert re.search(r"^tiny_64 +right +– \| 1\.000", capsys.readouterr().out, re.M)
    assert weights.card("tiny_64")["scale"] == "gpu" and recipes.shipped() == ["tiny"]


def test_a_training_may_take_what_its_card_says_or_that_of_its_sibling():
    seconds = pace.expected_seconds(recipes.trained_at("gpu"), "gpu")
    assert seconds["joint_64"] == seconds["joint"] == weights.card("joint")["seconds"]
    assert seconds["video_64"] == seconds["video"] > seconds["joint"]
    at_home = pace.expected_seconds(["video", "audio_codec"], "laptop")
    assert at_home["video"] == weights.card("video")["seconds"] and len(at_home) == 2


def test_a_training_without_a_card_may_take_as_long_as_most(tmp_path, monkeypatch):
    cards = {name: weights.card(name) for name in ("judge", "pixels", "clips")}
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    assert pace.expected_seconds(["judge", "words"], "laptop") == {"judge": 1.0, "words": 1.0}
    for name, card in cards.items():
        weights.write_card(name, card)
    seconds = pace.expected_seconds(recipes.trained_at("laptop"), "laptop")
    assert list(seconds) == recipes.trained_at("laptop")
    assert seconds["words"] == seconds["video"] == cards["pixels"]["seconds"] < seconds["clips"]


def test_a_process_that_is_not_the_first_trains_in_silence(tmp_path, monkeypatch, capsys):
    made, batches = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    progress.train("all", "laptop", tmp_path, None, quiet=True)
    assert len(batches) == 3 + flops.BATCHES
    assert capsys.readouterr() == ("", "")


def test_what_is_done_is_not_done_by_another_configuration_nor_with_other_weights(tmp_path, monkeypatch):
    made, batches = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    list(runs.run("tiny", "laptop", tmp_path))
    assert runs.is_done("tiny", "laptop", tmp_path)
    longer = replace(made, configs={"laptop": TrainConfig(4, 2, 1e-3)})
    monkeypatch.setitem(recipes.RECIPES, "tiny", longer)
    assert not runs.is_done("tiny", "laptop", tmp_path)
    monkeypatch.setitem(recipes.RECIPES, "tiny", made)
    weights.save("tiny", nn.Linear(3, 3), weights.card("tiny"))
    assert not runs.is_done("tiny", "laptop", tmp_path)
    before = len(batches)
    assert [done.step for done in runs.run("tiny", "laptop", tmp_path)] == [3]
    assert len(batches) == before + flops.BATCHES and runs.is_done("tiny", "laptop", tmp_path)


@pytest.mark.parametrize(
    "arguments, stop_at, resumes",
    [
        (["train", "tiny", "--scale", "laptop"], None, True),  # stopped while it is scored
        (["train", "tiny", "--scale", "laptop"], 2, False),  # before its first checkpoint
        (["score", "tiny"], None, False),
    ],
)
def test_who_is_stopped_is_told_to_go_on_where_that_can_be(
    arguments, stop_at, resumes, tmp_path, monkeypatch, capsys
):
    made, _ = _tiny("tiny", 3, stop_at)

    def stopped(network, n, seed):
        raise KeyboardInterrupt

    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(made, score=stopped))
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    weights.save("tiny", nn.Linear(3, 3), {})
    assert command.main([*arguments, "--runs", str(tmp_path / "runs")]) == 130
    message = capsys.readouterr().err
    assert "stopped." in message and ("resumes from the last checkpoint" in message) == resumes


def test_all_are_scored_and_the_pages_are_written_from_it(published, tmp_path, monkeypatch):
    made, _ = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    list(runs.run("tiny", "laptop", tmp_path))
    published([ROWS[0] | {"headline": "right at last"}, ROWS[1]])
    before = scorecard.load()
    readme, page = tmp_path / "README.md", tmp_path / "results.md"
    readme.write_text(_page("headlines"), encoding="utf-8")
    page.write_text(_page("score", "made", "again"), encoding="utf-8")
    monkeypatch.setattr(publish, "README", readme)
    monkeypatch.setattr(publish, "RESULTS", page)
    monkeypatch.setattr(publish, "FROM_NOTHING", tmp_path / "again.json")
    files.write_json(publish.FROM_NOTHING, {"tiny": weights.card("tiny")})
    folder = ["--runs", str(tmp_path)]
    assert command.main(["score", "--n", "60", *folder]) == 0
    assert scorecard.load() == before, "another number of scenes is not published"
    assert readme.read_text("utf-8") == _page("headlines")
    counted = []

    def score(network, n, seed):
        counted.append(n)
        return {"right": proportion_row([True] * n)}

    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(made, score=score))
    for _ in range(2):
        assert command.main(["score", "--json", str(tmp_path / "all.json"), *folder]) == 0
    assert counted == [1000], "what was found with these weights is not measured again"
    row, other = scorecard.load()
    assert row == before[0] | proportion_row([True] * 1000) and other == before[1]
    assert "| right at last | 1 | – |" in readme.read_text("utf-8")
    line = "| tiny | `right` | of all: right | – | 1.000 [0.996, 1.000] | – |"
    assert line in page.read_text("utf-8")
    assert re.search(r"\| tiny \| laptop \| 12 \| 3 × 2 \| 0 \| fp32 \|", page.read_text("utf-8"))
    assert json.loads((tmp_path / "all.json").read_text())["metrics"]["tiny"]["right"]["ours"] == 1
    assert weights.card("tiny")["score"]["right"]["ours"] == 1
    unscored = {key: value for key, value in weights.card("tiny").items() if key != "score"}
    weights.save("tiny", nn.Linear(3, 3), unscored)  # as where `train` is stopped while it scores
    assert command.main(["score", *folder]) == 0 and counted == [1000, 1000]
    assert weights.card("tiny")["score"]["right"]["ours"] == 1
    mark = scorecard.fingerprint()
    monkeypatch.setattr(scorecard, "fingerprint", lambda: mark[::-1])  # as where code has changed
    assert command.main(["score", *folder]) == 0 and counted == [1000, 1000, 1000]
