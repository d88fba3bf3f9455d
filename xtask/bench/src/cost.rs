//! What a chain costs, as the README shows it: a chart, and one sentence.

use std::fs;

use anyhow::{Context, Result, anyhow};

use xtask_report::chart::{Bar, Row, Rows};
use xtask_report::contender::{PEER, style_of};
use xtask_report::format::{number, short};
use xtask_report::{Kind, Report};
use xtask_support::cargo::workspace_root;

const README: &str = "README.md";
const CHART: &str = "docs/cost.svg";

/// What is in the chart for those who cannot see it.
const ALT: &str = "Instructions per chain: here, with rust-vmm's virtio-queue, and in a loop without checks";

/// The chains, in bursts of 32.
const SHAPES: [(&str, &str); 3] =
    [("1 descriptor", ONE), ("8 descriptors", "direct-8-burst-32"), ("8 in a table", "indirect-8-burst-32")];
const ONE: &str = "direct-1-burst-32";

/// Who processes them. The peer has split rings alone.
const CONTENDERS: [(&str, &str); 5] = [
    ("split", "here, split"),
    ("packed", "here, packed"),
    (PEER, "virtio-queue, split"),
    ("raw-split", "no checks, split"),
    ("raw-packed", "no checks, packed"),
];

/// The style of the page that shows the chart: text, axes and guides are as readers like them, dark or light.
const STYLE: &str = r##"<style>
[fill="#333333"] { fill: #1c2733; }
[stroke="#333333"] { stroke: #1c2733; }
@media (prefers-color-scheme: dark) {
  [fill="#333333"] { fill: #e6edf3; }
  [stroke="#333333"] { stroke: #8b98a5; }
  [stroke="#DDDDDD"] { stroke: #30363d; }
}
</style>
"##;

/// What is written of a report.
pub(crate) struct Cost {
    chart: String,
    sentence: String,
}

impl Cost {
    /// Draws and writes what `report` has counted.
    ///
    /// # Errors
    ///
    /// If a count is missing.
    pub(crate) fn of(report: &Report) -> Result<Self> {
        Ok(Self { chart: chart(report)?, sentence: sentence(report)? })
    }

    /// Writes it into the documentation, where reports of `kind` have their place.
    pub(crate) fn publish(&self, kind: &Kind) -> Result<()> {
        let root = workspace_root();
        let text = fs::read_to_string(root.join(README)).context(README)?;
        let readme = kind.splice(README, &text, &format!("![{ALT}]({CHART})\n\n{}\n", self.sentence))?;
        fs::write(root.join(CHART), &self.chart).context(CHART)?;
        fs::write(root.join(README), readme).context(README)
    }
}

fn chart(report: &Report) -> Result<String> {
    let mut rows = Vec::new();
    for (group, shape) in SHAPES {
        for (contender, label) in CONTENDERS {
            let case = report.case("instructions", contender, shape);
            let value = case.and_then(|case| case.spread()).ok_or_else(|| missing(contender, shape))?;
            let colour = style_of(contender).colour;
            let bar = if contender.starts_with("raw-") { Bar::Outlined(colour) } else { Bar::Filled(colour) };
            let text = number(value.median);
            rows.push(Row { group: group.to_owned(), label: label.to_owned(), value, bar, text });
        }
    }
    let svg = Rows { x: "instructions per chain", groups: "chains in bursts of 32", rows, format: short }.svg()?;
    // Charts are drawn at twice their size.
    let (_, rest) = svg.split_once("viewBox").ok_or_else(|| anyhow!("the chart has no size"))?;
    let (size, body) = rest.split_once(">\n").ok_or_else(|| anyhow!("the chart does not begin with a line"))?;
    let about = format!("role=\"img\" aria-label=\"{ALT}\"");
    Ok(format!("<svg width=\"620\" viewBox{size} {about}>\n{STYLE}{}\n", body.trim_end()))
}

fn sentence(report: &Report) -> Result<String> {
    let count = |contender| {
        let case = report.case("instructions", contender, ONE);
        let spread = case.and_then(|case| case.spread()).ok_or_else(|| missing(contender, ONE))?;
        Ok::<_, anyhow::Error>(format!("{:.0}", spread.median))
    };
    let (ours, peer, limit) = (count("split")?, count(PEER)?, count("raw-split")?);
    Ok(format!(
        "A chain of one descriptor in a split ring takes {ours} instructions here, {peer} with rust-vmm's \
         `{PEER}`, and {limit}\nin a loop that checks nothing. [How fast?](docs/benchmarks.md) explains the \
         measurements."
    ))
}

fn missing(contender: &str, shape: &str) -> anyhow::Error {
    anyhow!("the report has no count of instructions/{contender}/{shape}, which {CHART} shows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_report::synthetic::{instructions, report};

    /// A report in which each count is another.
    fn counted() -> Report {
        let shapes = SHAPES.iter().zip([1000.0, 2000.0, 3000.0]);
        let cases = shapes.flat_map(|((_, shape), base)| {
            CONTENDERS.iter().zip(1..).map(move |((name, _), n)| instructions(name, shape, base + f64::from(n)))
        });
        report(cases)
    }

    #[test]
    fn chart_has_every_count_and_is_the_same_each_time() {
        let chart = Cost::of(&counted()).unwrap().chart;
        for count in [1001, 1005, 2003, 3002, 3005] {
            assert!(chart.contains(&format!("\n{count}\n")), "{count} in {chart}");
        }
        assert_eq!(Cost::of(&counted()).unwrap().chart, chart);
        assert!(chart.starts_with("<svg ") && chart.ends_with("</svg>\n"));
        assert_eq!(chart.matches("prefers-color-scheme: dark").count(), 1);
    }

    #[test]
    fn sentence_compares_the_split_rings() {
        let sentence = Cost::of(&counted()).unwrap().sentence;
        assert!(sentence.contains("takes 1001 instructions here, 1003 with") && sentence.contains("and 1004\nin"));
        assert!(sentence.lines().all(|line| line.chars().count() <= 120), "{sentence}");
    }

    #[test]
    fn count_that_is_missing_is_named() {
        let mut report = counted();
        report.cases.retain(|case| case.contender() != "raw-packed");
        let error = Cost::of(&report).err().unwrap().to_string();
        assert!(error.contains("instructions/raw-packed/direct-1-burst-32"), "{error}");
    }

    #[test]
    fn readme_has_a_place_and_shows_the_chart() {
        let readme = fs::read_to_string(workspace_root().join(README)).unwrap();
        crate::KIND.splice(README, &readme, "").unwrap();
        assert!(readme.contains(&format!("({CHART})")) && workspace_root().join(CHART).exists());
    }
}
