"""What is published is filled in from scores, and the page of results says what the README says."""

import io
import json
import re
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import __main__ as command
from minivid import files, recipes, train, weights
from minivid.recipes import clips, held_out, results
from minivid.recipes.recipe import entry, with_bar

README = command.README.read_text(encoding="utf-8")
ROWS = """# A page

| model | key | what | floor | ours | ceiling |
| --- | --- | --- | ---: | ---: | ---: |
| tiny | `right` | of all: right | 0 | 0 [0, 0] | 0 |
| other | `left` | as it was | 1 | 1 [1, 1] | 1 |
"""
SCORES = {"tiny": {"right": {"floor": None, "ours": 0.5, "ceiling": 1, "interval": [0.25, 0.75]}}}


def test_numbers_are_filled_in_and_words_and_other_models_rows_stay():
    text = results.filled(ROWS, SCORES)
    assert "| tiny | `right` | of all: right | – | 0.500 [0.250, 0.750] | 1.000 |" in text
    assert "| other | `left` | as it was | 1 | 1 [1, 1] | 1 |" in text
    assert results.filled(text, SCORES) == text
    assert results.table(ROWS, SCORES, 1000)[2:] == [text.splitlines()[4]]
    with pytest.raises(ValueError, match="tiny has no 'right' in its score: wrong"):
        results.filled(ROWS, {"tiny": {"wrong": {}}})


def test_lines_are_put_between_marks_again_and_again():
    page = results.between("a\n<!-- x -->\n<!-- /x -->\nb", "x", ["one"])
    assert page == "a\n<!-- x -->\n\none\n\n<!-- /x -->\nb"
    assert results.between(page, "x", ["one"]) == page
    with pytest.raises(ValueError, match="no <!-- y -->"):
        results.between(page, "y", [])


def test_the_page_of_results_says_what_the_readme_and_the_cards_say():
    page = command.PAGE.read_text(encoding="utf-8")
    rows = [row[0] for row in results.ROW.finditer(README)]
    assert [row[0] for row in results.ROW.finditer(page)] == rows and len(rows) > 100
    cards = {name: weights.card(name) for name in recipes.in_the_box()}
    scores = {name: card["score"] for name, card in cards.items()}
    assert results.filled(README, scores) == README
    assert results.between(page, "made", results.trainings(cards)) == page
    again = json.loads(command.AGAIN.read_text(encoding="utf-8"))
    lines = [*results.trainings(again), "", *results.repeated(README, again, cards)]
    assert results.between(page, "again", lines) == page


def test_another_training_is_held_against_the_cards():
    rows = {"right": entry([True] * 20)}
    again = {"tiny": {"score": rows}, "unknown": {}}
    for right, ours, off in (
        ([True] * 30, "1.000 [0.886, 1.000]", ""),
        ([True] * 30 + [False], "0.968 [0.838, 0.994]", "outside"),
        ([False], "0.000 [0.000, 0.793]", "apart"),
    ):
        lines = results.repeated(ROWS, again, {"tiny": {"score": {"right": entry(right)}}})
        assert lines[2:] == [f"| tiny `right` | 1.000 [0.839, 1.000] | {ours} | {off} |"]
    with pytest.raises(KeyError, match="other"):
        results.repeated(ROWS, again, {"other": {}})


def test_flops_of_a_training_are_those_of_its_matrices():
    """Two linear layers, 8 -> 16 -> 4: forward 2 · b · (8·16 + 16·4), back as much for the weights, and for
    what lies between the layers."""

    def made(width):
        return recipes.Recipe(
            "",
            build=lambda: nn.Sequential(nn.Linear(8, width), nn.Linear(width, 4)),
            draw=lambda plan, draws: (torch.randn(plan.batch, 8, generator=draws),),
            loss=lambda network, batch, draws: network(batch[0]).square().mean(),
            plans={"laptop": train.Plan(100, 3, 1e-3)},
            score=lambda network, n, seed: {},
        )

    a_clip = 2 * 2 * (8 * 16 + 16 * 4) + 2 * 16 * 4
    assert results.flops(made(16), "laptop") == 100 * 3 * a_clip


def _tiny(name, steps, stop_at=None):
    seen = []

    def loss(network, batch, draws):
        seen.append(1)
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        return network(batch[0]).square().mean()

    return recipes.Recipe(
        name,
        build=lambda: nn.Linear(3, 3),
        draw=lambda plan, draws: (torch.randn(plan.batch, 3, generator=draws),),
        loss=loss,
        plans={"laptop": train.Plan(steps, 2, 1e-3)},
        score=lambda network, n, seed: {"right": entry([True] * n)},
    ), seen


def test_all_are_trained_in_order_go_on_after_a_stop_and_end_in_the_scorecard(
    tmp_path, monkeypatch, capsys
):
    first, first_seen = _tiny("first", 5)
    second, second_seen = _tiny("second", 300, stop_at=280)
    monkeypatch.setattr(recipes, "RECIPES", {"first": first, "second": second})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    page = tmp_path / "README.md"
    page.write_text(
        ROWS.replace("tiny", "second").replace("other", "first").replace("left", "right"), "utf-8"
    )
    monkeypatch.setattr(command, "README", page)
    order = ["train", "all", "--scale", "laptop", "--runs", str(tmp_path / "runs")]
    assert command.main(order) == 130
    assert "same command resumes" in capsys.readouterr().err
    assert len(first_seen) == 5 + results.BATCHES and len(second_seen) == 280
    assert command.main(order) == 0
    assert len(first_seen) == 5 + results.BATCHES, "what is done is not done again"
    assert len(second_seen) == 280 + 50 + results.BATCHES  # from step 250 on
    shown = capsys.readouterr()
    assert "| second | `right` | of all: right | – | 1.000 [0.996, 1.000] | – |" in shown.out
    assert "second (laptop, 2 of 2)" in shown.err
    assert command.main(order) == 0, "once all is done, the scorecard is shown again"
    assert "| first | `right` |" in capsys.readouterr().out


def test_a_scale_trains_what_has_a_plan_for_it_and_shows_what_the_readme_does_not_list(
    tmp_path, monkeypatch, capsys
):
    first, _ = _tiny("tiny", 2)
    more, _ = _tiny("tiny_64", 3)
    more = replace(more, plans={"gpu": more.plans["laptop"]})
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": first, "tiny_64": more})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    page = tmp_path / "README.md"
    page.write_text(ROWS, "utf-8")
    monkeypatch.setattr(command, "README", page)
    order = ["train", "all", "--runs", str(tmp_path / "runs"), "--scale"]
    assert command.main([*order, "laptop"]) == 0
    shown = capsys.readouterr().out
    assert "| tiny | `right` |" in shown and "tiny_64" not in shown
    assert command.main([*order, "gpu"]) == 0
    assert re.search(r"^tiny_64 +right +– \| 1\.000", capsys.readouterr().out, re.M)
    assert weights.card("tiny_64")["scale"] == "gpu" and recipes.in_the_box() == ["tiny"]


def test_a_training_may_take_what_its_card_says_or_that_of_its_sibling():
    seconds = recipes.expected_seconds(recipes.trained_at("gpu"), "gpu")
    assert seconds["joint_64"] == seconds["joint"] == weights.card("joint")["seconds"]
    assert seconds["video_64"] == seconds["video"] > seconds["joint"]
    at_home = recipes.expected_seconds(["video", "audio_codec"], "laptop")
    assert at_home["video"] == weights.card("video")["seconds"] and len(at_home) == 2


def test_a_training_of_which_no_card_tells_may_take_as_long_as_most(tmp_path, monkeypatch):
    told = {name: weights.card(name) for name in ("judge", "pixels", "clips")}
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    assert recipes.expected_seconds(["judge", "words"], "laptop") == {"judge": 1.0, "words": 1.0}
    for name, card in told.items():
        weights.write_card(name, card)
    seconds = recipes.expected_seconds(recipes.trained_at("laptop"), "laptop")
    assert list(seconds) == recipes.trained_at("laptop")
    assert seconds["words"] == seconds["video"] == told["pixels"]["seconds"] < seconds["clips"]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "screen, parts, shown",
    [(_Terminal, 3, True), (_Terminal, 1, False), (io.StringIO, 3, False)],
)
def test_what_takes_long_has_a_bar_where_there_is_a_terminal(screen, parts, shown, monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen())
    assert list(with_bar(range(parts), "drawing", 50)) == list(range(parts))
    assert ("drawing:   0%|          | 0/150" in sys.stderr.getvalue()) == shown


def test_scoring_a_model_that_draws_shows_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    draw = lambda said, seed: torch.zeros(len(said), 3, 1, 32, 32)  # noqa: E731
    _, drawn, _ = clips.ask(draw, 60, 1, held_out.SEEN)
    clips.look(recipes.load("judge"), drawn, 30)
    assert "drawing: " in sys.stderr.getvalue() and "looking: " in sys.stderr.getvalue()


def test_a_process_that_is_not_the_first_trains_in_silence(tmp_path, monkeypatch, capsys):
    made, seen = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    options = command.parser().parse_args(["train", "all", "--scale", "laptop"])
    options.runs = tmp_path
    command._train_each(options, silent=True)
    assert len(seen) == 3 + results.BATCHES
    assert capsys.readouterr() == ("", "")


def test_what_is_done_is_not_done_by_another_plan_nor_with_other_weights(tmp_path, monkeypatch):
    made, seen = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    list(recipes.run("tiny", "laptop", tmp_path))
    assert recipes.is_done("tiny", "laptop", tmp_path)
    longer = replace(made, plans={"laptop": train.Plan(4, 2, 1e-3)})
    monkeypatch.setitem(recipes.RECIPES, "tiny", longer)
    assert not recipes.is_done("tiny", "laptop", tmp_path)
    monkeypatch.setitem(recipes.RECIPES, "tiny", made)
    weights.save("tiny", nn.Linear(3, 3), weights.card("tiny"))
    assert not recipes.is_done("tiny", "laptop", tmp_path)
    before = len(seen)
    assert [progress.step for progress in recipes.run("tiny", "laptop", tmp_path)] == [3]
    assert len(seen) == before + results.BATCHES and recipes.is_done("tiny", "laptop", tmp_path)


@pytest.mark.parametrize(
    "arguments, resumes", [(["train", "tiny"], True), (["score", "tiny"], False)]
)
def test_who_is_stopped_is_told_to_go_on_where_that_can_be(
    arguments, resumes, tmp_path, monkeypatch, capsys
):
    made, _ = _tiny("tiny", 3, stop_at=2)

    def stopped(network, n, seed):
        raise KeyboardInterrupt

    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(made, score=stopped))
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    weights.save("tiny", nn.Linear(3, 3), {})
    at = ["--scale", "laptop"] if resumes else []
    assert command.main([*arguments, *at, "--runs", str(tmp_path / "runs")]) == 130
    told = capsys.readouterr().err
    assert "stopped." in told and ("resumes from the last checkpoint" in told) == resumes


def test_all_are_scored_and_the_pages_are_written_from_it(tmp_path, monkeypatch):
    made, _ = _tiny("tiny", 3)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": made})
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    list(recipes.run("tiny", "laptop", tmp_path))
    readme, page = tmp_path / "README.md", tmp_path / "results.md"
    readme.write_text(ROWS, encoding="utf-8")
    marks = ("score", "made", "again")
    page.write_text("".join(f"<!-- {k} -->\n<!-- /{k} -->\n" for k in marks), encoding="utf-8")
    monkeypatch.setattr(command, "README", readme)
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "AGAIN", tmp_path / "again.json")
    files.write_json(command.AGAIN, {"tiny": weights.card("tiny")})
    runs = ["--runs", str(tmp_path)]
    assert command.main(["score", "--n", "20", *runs]) == 0
    assert readme.read_text("utf-8") == ROWS, "another number of scenes is not published"
    counted = []
    score = lambda network, n, seed: counted.append(n) or {"right": entry([True] * n)}  # noqa: E731
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(made, score=score))
    for _ in range(2):
        assert command.main(["score", "--json", str(tmp_path / "all.json"), *runs]) == 0
    assert counted == [1000], "what was found with these weights is not measured again"
    row = "| tiny | `right` | of all: right | – | 1.000 [0.996, 1.000] | – |"
    assert row in readme.read_text("utf-8") and row in page.read_text("utf-8")
    assert re.search(r"\| tiny \| laptop \| 12 \| 3 × 2 \| 0 \| fp32 \|", page.read_text("utf-8"))
    assert json.loads((tmp_path / "all.json").read_text())["metrics"]["tiny"]["right"]["ours"] == 1
    assert weights.card("tiny")["score"]["right"]["ours"] == 1
    unscored = {key: told for key, told in weights.card("tiny").items() if key != "score"}
    weights.save("tiny", nn.Linear(3, 3), unscored)  # as where `train` is stopped while it scores
    assert command.main(["score", *runs]) == 0 and counted == [1000, 1000]
    assert weights.card("tiny")["score"]["right"]["ours"] == 1
