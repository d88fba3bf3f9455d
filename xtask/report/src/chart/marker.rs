//! The marks of contenders.

use anyhow::Result;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::canvas::Area;
use crate::contender::{Line, Marker, Style};

/// Half the width of a marker.
const SIZE: i32 = 9;

/// Draws the marker of a contender.
pub(crate) fn draw(area: &Area<'_>, style: &Style, (x, y): (i32, i32)) -> Result<()> {
    let (filled, open) = (style.colour.filled(), style.colour.stroke_width(4));
    let corners = [(-SIZE, -SIZE), (SIZE, -SIZE), (SIZE, SIZE), (-SIZE, SIZE), (-SIZE, -SIZE - 2)];
    let corners = corners.map(|(right, down)| (x + right, y + down));
    match style.marker {
        Marker::Circle => area.draw(&Circle::new((x, y), SIZE + 1, filled))?,
        Marker::OpenCircle => area.draw(&Circle::new((x, y), SIZE, open))?,
        Marker::Square => area.draw(&Polygon::new(corners, filled))?,
        Marker::OpenSquare => area.draw(&PathElement::new(corners, open))?,
        Marker::Triangle => area.draw(&TriangleMarker::new((x, y), SIZE + 4, filled))?,
        Marker::Cross => area.draw(&Cross::new((x, y), SIZE, open))?,
    }
    Ok(())
}

/// Draws the line of a contender through `points`.
pub(crate) fn line(area: &Area<'_>, style: &Style, points: Vec<(i32, i32)>) -> Result<()> {
    let stroke = style.colour.stroke_width(4);
    match style.line {
        Line::Solid => area.draw(&PathElement::new(points, stroke))?,
        Line::Dashed => area.draw(&DashedPathElement::new(points, 12, 8, stroke))?,
    }
    Ok(())
}
