//! A row for each case, with a bar.

use core::ops::Range;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Area, GRID, INK, TEXT, WIDTH, svg, whisker, write};
use crate::spread::Spread;

/// The height of a row.
const ROW: u32 = 48;
/// The height of what is above the rows.
const HEAD: u32 = 56;
/// The height of the axis below the rows.
const AXIS: u32 = 120;
/// The width of the labels, at least.
const LABELS: usize = 480;
/// The width of a letter, on average and with something to spare.
const LETTER: usize = TEXT as usize * 9 / 20;
/// The margin around it all.
const MARGIN: i32 = 10;

/// A chart.
pub struct Rows<'r> {
    /// What the bars show, with the unit.
    pub x: &'r str,
    /// What the groups differ in.
    pub groups: &'r str,
    pub rows: Vec<Row>,
    /// How numbers on the axis are written.
    pub format: fn(f64) -> String,
}

/// One case.
#[derive(Debug)]
pub struct Row {
    /// What is written once for all rows in a row that have it.
    pub group: String,
    pub label: String,
    /// From zero to the median is the bar.
    pub value: Spread,
    pub bar: Bar,
    /// What is written beside the bar.
    pub text: String,
}

/// How a bar is drawn.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    Filled(RGBColor),
    Outlined(RGBColor),
}

impl Rows<'_> {
    /// Draws it, unless there is nothing to draw.
    pub fn svg(&self) -> Result<String> {
        let count = u32::try_from(self.rows.len())?;
        svg(HEAD + count * ROW + AXIS, |area| self.draw(area, count))
    }

    fn draw(&self, area: &Area<'_>, count: u32) -> Result<()> {
        let range = self.range().ok_or_else(|| anyhow!("{}: there is nothing to draw", self.x))?;
        let labels = self.labels();
        let mut chart = ChartBuilder::on(area)
            .margin(MARGIN)
            .margin_top(HEAD)
            .margin_right(4 * MARGIN)
            .x_label_area_size(AXIS - 20)
            .y_label_area_size(labels)
            .build_cartesian_2d(range, f64::from(count)..0.0)?;
        let text = ("sans-serif", TEXT).into_font().color(&INK);
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .disable_y_mesh()
            .y_labels(0)
            .axis_style(INK)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_labels(6)
            .x_desc(self.x)
            .x_label_formatter(&|value| (self.format)(*value))
            .draw()?;
        write(area, self.groups, (MARGIN, HEAD.cast_signed() / 2), HPos::Left)?;
        let mut group = "";
        for (index, row) in (0..count).zip(&self.rows) {
            let at = |x, place| chart.backend_coord(&(x, f64::from(index) + place));
            if row.group != group {
                group = &row.group;
                draw_group(area, group, at(0.0, 0.0).1)?;
            }
            draw_row(area, labels, row, [0.0, row.value.low, row.value.median, row.value.high].map(|x| at(x, 0.5)))?;
        }
        Ok(())
    }

    /// Returns the width of the labels: a group and the label of its first row are beside each other.
    fn labels(&self) -> i32 {
        let letters = |row: &Row| row.group.chars().count() + row.label.chars().count() + 2;
        let longest = self.rows.iter().map(letters).max().unwrap_or(0);
        i32::try_from(LABELS.max(LETTER * longest)).unwrap_or(i32::MAX)
    }

    /// Returns the range from zero to all values, with room for the texts.
    fn range(&self) -> Option<Range<f64>> {
        let low = self.rows.iter().map(|row| row.value.low).min_by(f64::total_cmp)?.min(0.0);
        let high = self.rows.iter().map(|row| row.value.high).max_by(f64::total_cmp)?.max(0.0);
        let room = (high - low).max(f64::MIN_POSITIVE) * 0.3;
        Some(if low < 0.0 { low - room / 4.0..high + room } else { 0.0..high + room })
    }
}

/// Begins a group below `top`.
fn draw_group(area: &Area<'_>, group: &str, top: i32) -> Result<()> {
    area.draw(&PathElement::new([(MARGIN, top), (WIDTH.cast_signed() - MARGIN, top)], GRID.stroke_width(2)))?;
    write(area, group, (MARGIN, top + ROW.cast_signed() / 2), HPos::Left)
}

fn draw_row(area: &Area<'_>, labels: i32, row: &Row, [zero, low, median, high]: [(i32, i32); 4]) -> Result<()> {
    const HALF: i32 = 14;
    let middle = zero.1;
    let corners =
        [(zero.0, middle - HALF), (median.0, middle - HALF), (median.0, middle + HALF), (zero.0, middle + HALF)];
    match row.bar {
        Bar::Filled(colour) => area.draw(&Polygon::new(corners, colour.mix(0.6)))?,
        Bar::Outlined(colour) => area.draw(&PathElement::new(corners, colour.stroke_width(4)))?,
    }
    if low.0 != high.0 {
        whisker(area, low, high, INK)?;
    }
    write(area, &row.label, (labels - MARGIN, middle), HPos::Right)?;
    write(area, &row.text, (high.0.max(zero.0) + 16, middle), HPos::Left)
}
