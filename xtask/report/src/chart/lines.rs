//! A line for each contender, on axes of factors.

use anyhow::{Result, anyhow};
use plotters::coord::combinators::{BindKeyPoints, WithKeyPoints};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::LogAxis;
use super::canvas::{Area, GRID, INK, TEXT, WIDTH, svg, whisker, write};
use super::marker;
use crate::contender::Style;
use crate::format::short;
use crate::spread::Spread;

const HEIGHT: u32 = 760;
/// The width of the legend, which is beside the plot so that it hides nothing.
const LEGEND: u32 = 280;

/// A chart.
#[derive(Debug)]
pub struct Lines<'r> {
    /// What is on the axes, with units.
    pub x: &'r str,
    pub y: &'r str,
    pub series: Vec<Series<'r>>,
}

/// What one contender did.
#[derive(Debug)]
pub struct Series<'r> {
    pub name: &'r str,
    pub style: Style,
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: Spread,
}

impl Lines<'_> {
    /// Draws it, unless there is nothing to draw.
    pub fn svg(&self) -> Result<String> {
        svg(HEIGHT, |area| {
            let (plot, legend) = area.split_horizontally(WIDTH - LEGEND);
            self.draw_plot(area, &plot)?;
            self.draw_legend(&legend)
        })
    }

    fn draw_plot(&self, whole: &Area<'_>, plot: &Area<'_>) -> Result<()> {
        let (x, y) = self.axes().ok_or_else(|| anyhow!("{}: there is nothing to draw", self.x))?;
        let mut chart = ChartBuilder::on(plot)
            .margin(16)
            .x_label_area_size(3 * TEXT)
            .y_label_area_size(4 * TEXT)
            .build_cartesian_2d(coordinates(x), coordinates(y))?;
        let text = ("sans-serif", TEXT).into_font().color(&INK);
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|value| value.to_string())
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        for series in &self.series {
            let at = |point: &Point, y| chart.backend_coord(&(point.x, y));
            marker::line(whole, &series.style, series.points.iter().map(|point| at(point, point.y.median)).collect())?;
            for point in &series.points {
                whisker(whole, at(point, point.y.low), at(point, point.y.high), series.style.colour)?;
                marker::draw(whole, &series.style, at(point, point.y.median))?;
            }
        }
        Ok(())
    }

    fn axes(&self) -> Option<(LogAxis, LogAxis)> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let mut x: Vec<_> = points().map(|point| point.x).collect();
        x.sort_by(f64::total_cmp);
        x.dedup();
        let y: Vec<_> = points().flat_map(|point| [point.y.low, point.y.high]).collect();
        Some((LogAxis::with_ticks(x)?, LogAxis::for_values(&y)?))
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result<()> {
        let mut y = 40;
        for series in &self.series {
            marker::line(area, &series.style, vec![(10, y), (66, y)])?;
            marker::draw(area, &series.style, (38, y))?;
            write(area, series.name, (80, y), HPos::Left)?;
            y += 46;
        }
        Ok(())
    }
}

fn coordinates(axis: LogAxis) -> WithKeyPoints<LogCoord<f64>> {
    axis.range.log_scale().with_key_points(axis.ticks)
}
