//! Draws how the medians grow, as an SVG that reads in light and in dark.

use std::fmt::Write;

use crate::results::{Kind, Results, Row};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
/// The corners of the area of the lines; the legend is on its right.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 400.0;
const LEGEND: f64 = 624.0;
const LINE_HEIGHT: f64 = 24.0;
/// Colors that contrast with white and with black; a path has one, whether all or ten of its allocations are busy.
const COLORS: [&str; 7] = ["#2f81f7", "#d9730d", "#1a9c5b", "#9a6ee0", "#d64550", "#a0790f", "#c2559d"];
const CONTROL_COLOR: &str = "#808890";
const STYLE: &str = "
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.paper { fill: #ffffff }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .paper { fill: #0d1117 }
  .grid { stroke: #30363d }
}
";
/// What the names of paths end in whose packets belong to ten allocations.
const TEN_BUSY: &str = ", ten busy";

/// Where values are on the picture.
struct Axes {
    smallest: f64,
    largest: f64,
    highest: f64,
}

impl Axes {
    fn x(&self, size: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (size / self.smallest).ln() / (self.largest / self.smallest).ln()
    }

    fn y(&self, ratio: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * ratio / self.highest
    }
}

/// Draws everything that is repeated, relative to the smallest size.
pub(crate) fn draw(results: &Results) -> String {
    let rows: Vec<&Row> = results.rows.iter().filter(|row| row.kind != Kind::Once).collect();
    let ratios: Vec<Vec<f64>> = rows.iter().map(|row| relative(&row.medians())).collect();
    let highest = ratios.iter().flatten().copied().fold(1.0, f64::max);
    let size = |at: Option<&u32>| f64::from(at.copied().unwrap_or(1));
    let step = step(highest);
    let axes = Axes {
        smallest: size(results.sizes.first()),
        largest: size(results.sizes.last()),
        highest: (highest / step).ceil() * step,
    };
    let mut svg = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Time of a call by the number of \
         allocations or rooms\">\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>"
    );
    draw_grid(&mut svg, &axes, &results.sizes, step);
    let mut paths: Vec<&str> = Vec::new();
    for ((row, ratios), place) in rows.iter().zip(&ratios).zip(0_u16..) {
        let path = row.name.trim_end_matches(TEN_BUSY);
        let color = if row.kind == Kind::Control { CONTROL_COLOR } else { color_of(path, &mut paths) };
        let dashes = match (row.kind, row.name.ends_with(TEN_BUSY)) {
            (Kind::Control, _) => "2 4",
            (_, true) => "7 5",
            (_, false) => "none",
        };
        let stroke = format!("class=\"line\" stroke=\"{color}\" stroke-dasharray=\"{dashes}\"");
        let points = results
            .sizes
            .iter()
            .zip(ratios)
            .map(|(size, ratio)| format!("{:.1},{:.1}", axes.x(f64::from(*size)), axes.y(*ratio)));
        let _ = writeln!(svg, "<polyline {stroke} points=\"{}\"/>", points.collect::<Vec<_>>().join(" "));
        let y = TOP + 8.0 + LINE_HEIGHT * f64::from(place);
        let _ = writeln!(svg, "<path {stroke} d=\"M{LEGEND} {y}h34\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", LEGEND + 42.0, y + 4.5, row.name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The color of a path, which joins the known ones.
fn color_of<'a>(path: &'a str, known: &mut Vec<&'a str>) -> &'static str {
    let number = known.iter().position(|other| *other == path).unwrap_or_else(|| {
        known.push(path);
        known.len() - 1
    });
    COLORS[number % COLORS.len()]
}

fn draw_grid(svg: &mut String, axes: &Axes, sizes: &[u32], step: f64) {
    let mut ratio = 0.0;
    while ratio <= axes.highest + step / 2.0 {
        let y = axes.y(ratio);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ratio}×</text>", LEFT - 8.0, y + 4.5);
        ratio += step;
    }
    for size in sizes {
        let x = axes.x(f64::from(*size));
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/>");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>", BOTTOM + 20.0);
    }
    let (middle, below) = (f64::midpoint(LEFT, RIGHT), BOTTOM + 44.0);
    let smallest = axes.smallest;
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">live allocations or rooms (time of a call, relative to that at {smallest})</text>"
    );
}

fn relative(medians: &[f64]) -> Vec<f64> {
    let first = medians.first().copied().unwrap_or(1.0);
    medians.iter().map(|median| median / first).collect()
}

/// The distance between two lines of the grid.
fn step(highest: f64) -> f64 {
    match highest {
        low if low <= 2.0 => 0.25,
        low if low <= 5.0 => 0.5,
        medium if medium <= 12.0 => 1.0,
        high => (high / 10.0).ceil(),
    }
}
