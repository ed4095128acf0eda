//! Figures as bars.

use std::fmt::Write;

use super::tables;
use crate::figure::Figure;

/// Name and SVG of each.
pub(crate) fn pictures(figures: &[Figure]) -> Vec<(&'static str, String)> {
    let pictures = PICTURES.iter().map(|&(name, case, title)| {
        let bars =
            figures.iter().filter(|figure| figure.case == case && (figure.ratio.is_none() || figure.client.is_some()));
        (name, picture(title, &bars.collect::<Vec<_>>()))
    });
    pictures.collect()
}

fn picture(title: &str, bars: &[&Figure]) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + bars.len() * STEP + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"12\" y=\"24\" font-weight=\"bold\">{title}</text>\n"
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = TOP + at * STEP;
        let width = bar.value / most * 370.0;
        let color = match &*bar.server {
            ours if is_form_of(ours, "us") => "#0a7d55",
            floor if floor.starts_with("limit-") || is_form_of(floor, "hyper") => "#9aa5b1",
            _ => "#4f6fb5",
        };
        let ratio = bar.ratio.map_or_else(String::new, |ratio| format!(" ({ratio:.2})"));
        let _ = writeln!(
            svg,
            "<text x=\"130\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"138\" y=\"{y}\" width=\"{width:.1}\" \
             height=\"20\" fill=\"{color}\"/><text x=\"{:.1}\" y=\"{}\">{}{ratio}</text>",
            y + 15,
            bar.server,
            146.0 + width,
            y + 15,
            tables::value(bar),
        );
    }
    svg + "</svg>\n"
}

/// Returns `true` if this is the server itself, a variant of it, or the server with another allocator.
fn is_form_of(label: &str, server: &str) -> bool {
    label.split(['-', ',']).next() == Some(server)
}

/// Name, case, title.
const PICTURES: &[(&str, &str, &str)] = &[
    ("w1", "W1", "Server CPU for an event delivered, one at a time to 1,000 clients (ratio to limit-E)"),
    ("w16", "W16", "Server CPU for an event delivered, 16 at a time to 1,000 clients (ratio to limit-E)"),
    ("flood", "flood, 64 B", "Events a second to one client, 64 bytes of data (ratio to limit-B)"),
    ("memory", "memory, 5000 streams", "The server's memory for an idle stream, 5,000 of them"),
    ("publish", "publish, 10000 subscribers", "Cost of a publish to its caller, 10,000 subscribers"),
];

const TOP: usize = 40;
const STEP: usize = 28;
