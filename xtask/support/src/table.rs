//! Tables that are read on a terminal, in a file, and by whatever renders Markdown.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// Returns a table in Markdown. The first columns, as many as `texts`, are texts, and the rest are numbers.
pub fn markdown(head: &[&str], texts: usize, rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(texts) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_markdown_with_numbers_to_the_right() {
        let rows = [["split", "1.60"], ["raw", "13.0"]].map(|row| row.map(str::to_owned).to_vec());
        let expected = "| case  |   ns |\n|-------|------|\n| split | 1.60 |\n| raw   | 13.0 |\n";
        assert_eq!(markdown(&["case", "ns"], 1, rows), expected);
    }
}
