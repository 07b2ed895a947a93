"""Stored results: whole after each row, and the same when they are read."""

from scorevid.studies.stored import Results, load_results


def test_rows_are_there_as_soon_as_they_are_added(tmp_path):
    """A sweep that is interrupted would otherwise leave nothing, or half a file."""
    results = Results("some", {"seed": 1, "ü": [1.5, None]}, tmp_path)
    for k in range(3):
        results.add(case=k, error=[0.1 * k, 0, 1])
        stored = load_results("some", tmp_path)
        assert stored["parameters"] == {"seed": 1, "ü": [1.5, None]} and stored["results"] == results.rows
    assert len(stored["results"]) == 3 and len((tmp_path / "some.json").read_text().splitlines()) == 6
