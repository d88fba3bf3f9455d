//! The frame of a page that needs no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Returns a whole page.
pub fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (title) }
                (body)
            }
        }
    };
    page.into_string()
}

/// Returns a list of facts with their names.
pub fn facts(facts: &[(&str, String)]) -> Markup {
    html! {
        dl {
            @for (name, fact) in facts {
                dt { (name) }
                dd { (fact) }
            }
        }
    }
}

/// Returns a table. The first columns, as many as `texts`, are texts, and the rest are numbers.
pub fn table(head: &[&str], texts: usize, rows: &[Vec<String>]) -> Markup {
    let class = |column: usize| (column >= texts).then_some("number");
    html! {
        div.table {
            table {
                thead { tr { @for (column, cell) in head.iter().enumerate() { th class=[class(column)] { (cell) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (column, cell) in row.iter().enumerate() { td class=[class(column)] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// Returns a chart as part of a page.
pub fn chart(svg: String) -> Markup {
    html! { div.chart { (PreEscaped(svg)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_needs_nothing_from_elsewhere_and_takes_no_markup_from_facts() {
        let page = page("Title", &facts(&[("command", "cargo xtask bench '<script>'".to_owned())]));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
        for loads in ["src=", "href=", "url(", "@import"] {
            assert!(!page.contains(loads), "{loads}: {page}");
        }
    }
}
