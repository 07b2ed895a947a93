"""Tables to be sorted: what readers see, and what is sorted by."""

import pytest
from bs4 import BeautifulSoup

from scorevid.companion.tables import sortable_table


def test_cells_show_estimates_and_are_sorted_by_their_values():
    """Sorted by what is shown, 1,300 would come before 9 and 0.12 [0.1, 0.2] would be a text."""
    rows = [
        {"method": "a < b", "updates": 1300, "error": (0.12, 0.08, 0.16), "psnr": None},
        {"method": "c", "updates": 9, "error": 0.5, "psnr": -3.25},
    ]
    table = BeautifulSoup(sortable_table(rows, "Some & more.")._repr_html_(), "html.parser")
    assert table.caption.text == "Some & more."
    assert [th.text for th in table.thead.find_all("th")] == ["method", "updates", "error", "psnr"]
    cells = [[td.text for td in tr.find_all("td")] for tr in table.tbody.find_all("tr")]
    assert cells == [["a < b", "1,300", "0.12 [0.08, 0.16]", "–"], ["c", "9", "0.50", "−3.2"]]
    sorted_by = [[td.get("data-sort") for td in tr.find_all("td")] for tr in table.tbody.find_all("tr")]
    assert sorted_by == [[None, "1300", "0.12", ""], [None, "9", "0.5", "-3.25"]]
    assert {"sortable", "n-last"} <= set(table.table["class"])


@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"b": 1}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]])
def test_rows_with_other_columns_are_refused(rows):
    with pytest.raises(ValueError, match="same columns"):
        sortable_table(rows, "")
